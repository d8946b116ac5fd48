-- What Jackrabbit makes in PostgreSQL for Bloomreach Experience Manager, and the media table of the site's own DAM.
-- Nodes are serialized into bundles: to SQL they are bytes.
create table repository_fsentry (
    fsentry_path varchar(2048) not null,
    fsentry_name varchar(255) not null,
    fsentry_data bytea,
    fsentry_lastmod bigint not null,
    fsentry_length bigint not null
);
create table default_bundle (node_id bytea not null, bundle_data bytea not null);
create table default_refs (node_id bytea not null, refs_data bytea not null);
create table default_binval (binval_id varchar(64) not null, binval_data bytea not null);
create table default_names (id serial not null, name varchar(255) not null);
create table version_bundle (node_id bytea not null, bundle_data bytea not null);
create table version_refs (node_id bytea not null, refs_data bytea not null);
create table version_binval (binval_id varchar(64) not null, binval_data bytea not null);
create table version_names (id serial not null, name varchar(255) not null);
create table repository_journal (
    revision_id bigint not null,
    journal_id varchar(255),
    producer_id varchar(255),
    revision_data bytea
);
create table repository_global_revision (revision_id bigint not null);
create table repository_local_revisions (journal_id varchar(255) not null, revision_id bigint not null);
create table brx_media (
    id bigint not null,
    object_key text not null,
    file_name text not null,
    folder text not null,
    mime_type text not null,
    size_bytes bigint not null,
    checksum text not null,
    node_id bytea not null,
    version integer not null,
    created_by text not null,
    created_at timestamptz not null,
    modified_at timestamptz not null
);
create sequence brx_media_id_seq owned by brx_media.id;
create table brx_media_usage (media_id bigint not null, document_path text not null);
