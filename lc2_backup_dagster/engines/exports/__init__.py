"""Exports of configuration: named documents of any application, kept so that two days can be compared.

An application hands in an ``ExportSource``; ``capture.capture_export`` sorts its documents and stores them as one tar
with an index. ``stored.StoredExport`` reads them back, one by one or all; ``comparing`` and ``document_changes`` say
what changed between two exports. What the documents mean is known to ``applications`` alone.
"""
