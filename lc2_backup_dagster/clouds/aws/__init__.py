"""Amazon S3 and what speaks its language: MinIO, SeaweedFS, Ceph and others, through boto3.

Outside this folder only ``clouds.registry`` and tests name what lives here.
"""
