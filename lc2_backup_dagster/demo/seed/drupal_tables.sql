-- Tables of Drupal 10 as its pgsql driver makes them: unsigned integers are checked, blobs are bytea, names of keys and
-- indexes follow Drupal\Core\Database\Connection::makeIdentifier. A subset: what content, files and configuration need.

CREATE TABLE users (
  uid bigint CHECK (uid >= 0) NOT NULL,
  uuid varchar(128) NOT NULL,
  langcode varchar(12) NOT NULL,
  CONSTRAINT users____pkey PRIMARY KEY (uid),
  CONSTRAINT users__user_field__uuid__value__key UNIQUE (uuid)
);
CREATE TABLE users_field_data (
  uid bigint CHECK (uid >= 0) NOT NULL,
  langcode varchar(12) NOT NULL,
  preferred_langcode varchar(12) NULL,
  preferred_admin_langcode varchar(12) NULL,
  name varchar(60) NOT NULL,
  pass varchar(255) NULL,
  mail varchar(254) NULL,
  timezone varchar(32) NULL,
  status smallint NULL,
  created int NOT NULL,
  changed int NULL,
  access int NOT NULL,
  login int NULL,
  init varchar(254) NULL,
  default_langcode smallint NOT NULL,
  CONSTRAINT users_field_data____pkey PRIMARY KEY (uid, langcode),
  CONSTRAINT users_field_data__user__name__key UNIQUE (name, langcode)
);
CREATE INDEX users_field_data__user_field__mail__idx ON users_field_data (mail);
CREATE TABLE users_data (
  uid bigint CHECK (uid >= 0) NOT NULL DEFAULT 0,
  module varchar(50) NOT NULL DEFAULT '',
  name varchar(128) NOT NULL DEFAULT '',
  value bytea NULL,
  serialized int CHECK (serialized >= 0) NULL DEFAULT 0,
  CONSTRAINT users_data____pkey PRIMARY KEY (uid, module, name)
);
CREATE TABLE user__roles (
  bundle varchar(128) NOT NULL DEFAULT '',
  deleted smallint NOT NULL DEFAULT 0,
  entity_id bigint CHECK (entity_id >= 0) NOT NULL,
  revision_id bigint CHECK (revision_id >= 0) NOT NULL,
  langcode varchar(32) NOT NULL DEFAULT '',
  delta bigint CHECK (delta >= 0) NOT NULL,
  roles_target_id varchar(255) NOT NULL,
  CONSTRAINT user__roles____pkey PRIMARY KEY (entity_id, deleted, delta, langcode)
);

CREATE TABLE node (
  nid serial CHECK (nid >= 0) NOT NULL,
  vid bigint CHECK (vid >= 0) NULL,
  type varchar(32) NOT NULL,
  uuid varchar(128) NOT NULL,
  langcode varchar(12) NOT NULL,
  CONSTRAINT node____pkey PRIMARY KEY (nid),
  CONSTRAINT node__node__vid__key UNIQUE (vid),
  CONSTRAINT node__node_field__uuid__value__key UNIQUE (uuid)
);
CREATE TABLE node_revision (
  nid bigint CHECK (nid >= 0) NOT NULL,
  vid serial CHECK (vid >= 0) NOT NULL,
  langcode varchar(12) NOT NULL,
  revision_uid bigint CHECK (revision_uid >= 0) NULL,
  revision_timestamp int NULL,
  revision_log text NULL,
  revision_default smallint NULL,
  CONSTRAINT node_revision____pkey PRIMARY KEY (vid)
);
CREATE TABLE node_field_data (
  nid bigint CHECK (nid >= 0) NOT NULL,
  vid bigint CHECK (vid >= 0) NOT NULL,
  type varchar(32) NOT NULL,
  langcode varchar(12) NOT NULL,
  status smallint NOT NULL,
  uid bigint CHECK (uid >= 0) NOT NULL,
  title varchar(255) NOT NULL,
  created int NOT NULL,
  changed int NOT NULL,
  promote smallint NOT NULL,
  sticky smallint NOT NULL,
  default_langcode smallint NOT NULL,
  revision_translation_affected smallint NULL,
  CONSTRAINT node_field_data____pkey PRIMARY KEY (nid, langcode)
);
CREATE INDEX node_field_data__node__status_type__idx ON node_field_data (status, type, nid);
CREATE INDEX node_field_data__node_field__changed__idx ON node_field_data (changed);
CREATE TABLE taxonomy_term_data (
  tid serial CHECK (tid >= 0) NOT NULL,
  revision_id bigint CHECK (revision_id >= 0) NULL,
  vid varchar(32) NOT NULL,
  uuid varchar(128) NOT NULL,
  langcode varchar(12) NOT NULL,
  CONSTRAINT taxonomy_term_data____pkey PRIMARY KEY (tid)
);
CREATE TABLE taxonomy_term_field_data (
  tid bigint CHECK (tid >= 0) NOT NULL,
  revision_id bigint CHECK (revision_id >= 0) NOT NULL,
  vid varchar(32) NOT NULL,
  langcode varchar(12) NOT NULL,
  status smallint NOT NULL,
  name varchar(255) NOT NULL,
  description__value text NULL,
  description__format varchar(255) NULL,
  weight int NOT NULL,
  changed int NULL,
  default_langcode smallint NOT NULL,
  CONSTRAINT taxonomy_term_field_data____pkey PRIMARY KEY (tid, langcode)
);
CREATE TABLE taxonomy_index (
  nid bigint CHECK (nid >= 0) NOT NULL DEFAULT 0,
  tid bigint CHECK (tid >= 0) NOT NULL DEFAULT 0,
  status int NOT NULL DEFAULT 1,
  sticky smallint NULL DEFAULT 0,
  created int NOT NULL DEFAULT 0,
  CONSTRAINT taxonomy_index____pkey PRIMARY KEY (nid, tid)
);

-- Tables of configurable fields are all alike: one row for each value of a field in a revision and language.
DO $$
DECLARE made record;
BEGIN
  FOR made IN SELECT * FROM (VALUES
    ('body', 'body_value text NOT NULL, body_summary text NULL, body_format varchar(255) NULL'),
    ('field_image', 'field_image_target_id bigint CHECK (field_image_target_id >= 0) NOT NULL, '
      'field_image_alt varchar(512) NULL, field_image_title varchar(1024) NULL, '
      'field_image_width bigint CHECK (field_image_width >= 0) NULL, '
      'field_image_height bigint CHECK (field_image_height >= 0) NULL'),
    ('field_attachments', 'field_attachments_target_id bigint CHECK (field_attachments_target_id >= 0) NOT NULL, '
      'field_attachments_display smallint NULL DEFAULT 1, field_attachments_description text NULL'),
    ('field_tags', 'field_tags_target_id bigint CHECK (field_tags_target_id >= 0) NOT NULL')
  ) AS field (name, columns)
  LOOP
    EXECUTE format(
      'CREATE TABLE node__%1$s (bundle varchar(128) NOT NULL DEFAULT %3$L, deleted smallint NOT NULL DEFAULT 0, '
      'entity_id bigint CHECK (entity_id >= 0) NOT NULL, revision_id bigint CHECK (revision_id >= 0) NOT NULL, '
      'langcode varchar(32) NOT NULL DEFAULT %3$L, delta bigint CHECK (delta >= 0) NOT NULL, %2$s, '
      'CONSTRAINT node__%1$s____pkey PRIMARY KEY (entity_id, deleted, delta, langcode))', made.name, made.columns, '');
    EXECUTE format('CREATE INDEX node__%1$s__revision_id__idx ON node__%1$s (revision_id)', made.name);
  END LOOP;
END $$;

CREATE TABLE file_managed (
  fid serial CHECK (fid >= 0) NOT NULL,
  uuid varchar(128) NOT NULL,
  langcode varchar(12) NOT NULL,
  uid bigint CHECK (uid >= 0) NULL,
  filename varchar(255) NULL,
  uri varchar(255) NOT NULL,
  filemime varchar(255) NULL,
  filesize bigint CHECK (filesize >= 0) NULL,
  status smallint NOT NULL,
  created int NULL,
  changed int NOT NULL,
  CONSTRAINT file_managed____pkey PRIMARY KEY (fid),
  CONSTRAINT file_managed__file_field__uuid__value__key UNIQUE (uuid)
);
CREATE INDEX file_managed__file_field__uri__idx ON file_managed (uri);
CREATE INDEX file_managed__file_field__status__idx ON file_managed (status);
CREATE TABLE file_usage (
  fid bigint CHECK (fid >= 0) NOT NULL,
  module varchar(50) NOT NULL DEFAULT '',
  type varchar(64) NOT NULL DEFAULT '',
  id varchar(64) NOT NULL DEFAULT '0',
  count bigint CHECK (count >= 0) NOT NULL DEFAULT 0,
  CONSTRAINT file_usage____pkey PRIMARY KEY (fid, type, id, module)
);
CREATE INDEX file_usage__type_id__idx ON file_usage (type, id);

CREATE TABLE path_alias (
  id serial CHECK (id >= 0) NOT NULL,
  revision_id bigint CHECK (revision_id >= 0) NULL,
  uuid varchar(128) NOT NULL,
  langcode varchar(12) NOT NULL,
  path varchar(255) NULL,
  alias varchar(255) NULL,
  status smallint NOT NULL,
  CONSTRAINT path_alias____pkey PRIMARY KEY (id)
);

CREATE TABLE config (
  collection varchar(255) NOT NULL DEFAULT '',
  name varchar(255) NOT NULL DEFAULT '',
  data bytea NULL,
  CONSTRAINT config____pkey PRIMARY KEY (collection, name)
);
CREATE TABLE key_value (
  collection varchar(128) NOT NULL DEFAULT '',
  name varchar(128) NOT NULL DEFAULT '',
  value bytea NOT NULL,
  CONSTRAINT key_value____pkey PRIMARY KEY (collection, name)
);
CREATE TABLE key_value_expire (
  collection varchar(128) NOT NULL DEFAULT '',
  name varchar(128) NOT NULL DEFAULT '',
  value bytea NOT NULL,
  expire int NOT NULL DEFAULT 2147483647,
  CONSTRAINT key_value_expire____pkey PRIMARY KEY (collection, name)
);
CREATE TABLE sequences (
  value serial CHECK (value >= 0) NOT NULL,
  CONSTRAINT sequences____pkey PRIMARY KEY (value)
);
CREATE TABLE semaphore (
  name varchar(255) NOT NULL DEFAULT '',
  value varchar(255) NOT NULL DEFAULT '',
  expire double precision NOT NULL,
  CONSTRAINT semaphore____pkey PRIMARY KEY (name)
);
CREATE TABLE queue (
  item_id serial CHECK (item_id >= 0) NOT NULL,
  name varchar(255) NOT NULL DEFAULT '',
  data bytea NULL,
  expire int NOT NULL DEFAULT 0,
  created int NOT NULL DEFAULT 0,
  CONSTRAINT queue____pkey PRIMARY KEY (item_id)
);
CREATE TABLE router (
  name varchar(255) NOT NULL DEFAULT '',
  path varchar(255) NOT NULL DEFAULT '',
  pattern_outline varchar(255) NOT NULL DEFAULT '',
  fit int NOT NULL DEFAULT 0,
  route bytea NULL,
  number_parts smallint NOT NULL DEFAULT 0,
  CONSTRAINT router____pkey PRIMARY KEY (name)
);

DO $$
DECLARE bin text;
BEGIN
  FOREACH bin IN ARRAY ARRAY['bootstrap', 'config', 'container', 'data', 'default', 'discovery', 'dynamic_page_cache',
                             'entity', 'menu', 'page', 'render']
  LOOP
    EXECUTE format(
      'CREATE TABLE cache_%1$s (cid varchar(255) NOT NULL DEFAULT %2$L, data bytea NULL, '
      'expire bigint NOT NULL DEFAULT 0, created numeric(14, 3) NOT NULL DEFAULT 0, '
      'serialized smallint NOT NULL DEFAULT 0, tags text NULL, checksum varchar(255) NOT NULL, '
      'CONSTRAINT cache_%1$s____pkey PRIMARY KEY (cid))', bin, '');
    EXECUTE format('CREATE INDEX cache_%1$s__expire__idx ON cache_%1$s (expire)', bin);
    EXECUTE format('CREATE INDEX cache_%1$s__created__idx ON cache_%1$s (created)', bin);
  END LOOP;
END $$;
CREATE TABLE cachetags (
  tag varchar(255) NOT NULL DEFAULT '',
  invalidations int NOT NULL DEFAULT 0,
  CONSTRAINT cachetags____pkey PRIMARY KEY (tag)
);
CREATE TABLE sessions (
  uid bigint CHECK (uid >= 0) NOT NULL,
  sid varchar(128) NOT NULL,
  hostname varchar(128) NOT NULL DEFAULT '',
  timestamp bigint NOT NULL DEFAULT 0,
  session bytea NULL,
  CONSTRAINT sessions____pkey PRIMARY KEY (sid)
);
CREATE TABLE watchdog (
  wid bigserial NOT NULL,
  uid bigint CHECK (uid >= 0) NOT NULL DEFAULT 0,
  type varchar(64) NOT NULL DEFAULT '',
  message text NOT NULL,
  variables bytea NOT NULL,
  severity int CHECK (severity >= 0) NOT NULL DEFAULT 0,
  link text NULL,
  location text NOT NULL,
  referer text NULL,
  hostname varchar(128) NOT NULL DEFAULT '',
  timestamp int NOT NULL DEFAULT 0,
  CONSTRAINT watchdog____pkey PRIMARY KEY (wid)
);
CREATE INDEX watchdog__type__idx ON watchdog (type);
