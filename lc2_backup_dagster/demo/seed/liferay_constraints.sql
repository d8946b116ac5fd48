-- Primary keys, indexes and foreign keys, built after the rows. Primary keys hold ctcollectionid where Liferay's
-- publications do. Liferay itself declares no foreign keys; the ones at the end follow its relations, so that the
-- demo proves that a restore brings them back valid and in an order that works.

-- primary keys
alter table company add primary key (companyid);
alter table virtualhost add primary key (virtualhostid, ctcollectionid);
alter table user_ add primary key (userid, ctcollectionid);
alter table contact_ add primary key (contactid);
alter table emailaddress add primary key (emailaddressid, ctcollectionid);
alter table address add primary key (addressid, ctcollectionid);
alter table phone add primary key (phoneid, ctcollectionid);
alter table role_ add primary key (roleid, ctcollectionid);
alter table group_ add primary key (groupid, ctcollectionid);
alter table organization_ add primary key (organizationid, ctcollectionid);
alter table usergroup add primary key (usergroupid, ctcollectionid);
alter table users_roles add primary key (roleid, userid, ctcollectionid);
alter table users_groups add primary key (groupid, userid, ctcollectionid);
alter table users_orgs add primary key (organizationid, userid, ctcollectionid);
alter table users_usergroups add primary key (userid, usergroupid, ctcollectionid);
alter table passwordtracker add primary key (passwordtrackerid);
alter table usernotificationevent add primary key (usernotificationeventid);
alter table counter add primary key (name);
alter table classname_ add primary key (classnameid);
alter table release_ add primary key (releaseid);
alter table servicecomponent add primary key (servicecomponentid);
alter table resourceaction add primary key (resourceactionid);
alter table resourcepermission add primary key (resourcepermissionid, ctcollectionid);
alter table layoutset add primary key (layoutsetid, ctcollectionid);
alter table layout add primary key (plid, ctcollectionid);
alter table layoutfriendlyurl add primary key (layoutfriendlyurlid, ctcollectionid);
alter table portletpreferences add primary key (portletpreferencesid, ctcollectionid);
alter table portletpreferencevalue add primary key (portletpreferencevalueid, ctcollectionid);
alter table systemevent add primary key (systemeventid, ctcollectionid);
alter table audit_auditevent add primary key (auditeventid);
alter table lock_ add primary key (lockid);
alter table batchengineimporttask add primary key (batchengineimporttaskid);
alter table quartz_job_details add primary key (sched_name, job_name, job_group);
alter table quartz_triggers add primary key (sched_name, trigger_name, trigger_group);
alter table quartz_cron_triggers add primary key (sched_name, trigger_name, trigger_group);
alter table quartz_locks add primary key (sched_name, lock_name);
alter table repository add primary key (repositoryid, ctcollectionid);
alter table dlfolder add primary key (folderid, ctcollectionid);
alter table dlfileentrytype add primary key (fileentrytypeid, ctcollectionid);
alter table dlfileentry add primary key (fileentryid, ctcollectionid);
alter table dlfileversion add primary key (fileversionid, ctcollectionid);
alter table dlfileentrymetadata add primary key (fileentrymetadataid, ctcollectionid);
alter table dlcontent add primary key (contentid, ctcollectionid);
alter table amimageentry add primary key (amimageentryid, ctcollectionid);
alter table ddmstructure add primary key (structureid, ctcollectionid);
alter table ddmtemplate add primary key (templateid, ctcollectionid);
alter table journalfolder add primary key (folderid, ctcollectionid);
alter table journalarticleresource add primary key (resourceprimkey, ctcollectionid);
alter table journalarticle add primary key (id_, ctcollectionid);
alter table journalarticlelocalization add primary key (articlelocalizationid, ctcollectionid);
alter table assetvocabulary add primary key (vocabularyid, ctcollectionid);
alter table assetcategory add primary key (categoryid, ctcollectionid);
alter table assettag add primary key (tagid, ctcollectionid);
alter table assetentry add primary key (entryid, ctcollectionid);
alter table assetentries_assettags add primary key (entryid, tagid, ctcollectionid);
alter table assetentryassetcategoryrel add primary key (assetentryassetcategoryrelid, ctcollectionid);
alter table expandotable add primary key (tableid, ctcollectionid);
alter table expandocolumn add primary key (columnid, ctcollectionid);
alter table expandorow add primary key (rowid_, ctcollectionid);
alter table expandovalue add primary key (valueid, ctcollectionid);
alter table mbcategory add primary key (categoryid, ctcollectionid);
alter table mbthread add primary key (threadid, ctcollectionid);
alter table mbmessage add primary key (messageid, ctcollectionid);
alter table acme_visit add primary key (visitid);
alter table acme_attachment add primary key (attachmentid);

-- indexes, named as Liferay's service builder names them
create unique index ix_ec00543c on company (webid);
create unique index ix_77e2c0dd on virtualhost (hostname, layoutsetid, ctcollectionid);
create unique index ix_615e9f7a on user_ (companyid, emailaddress, ctcollectionid);
create unique index ix_c5806019 on user_ (companyid, screenname, ctcollectionid);
create index ix_bcfda257 on user_ (companyid, createdate, modifieddate);
create index ix_762f63c6 on user_ (emailaddress);
create index ix_405cc0e on user_ (uuid_, companyid);
create index ix_791914fa on contact_ (classnameid, classpk);
create index ix_1bb072ca on emailaddress (companyid, classnameid, classpk);
create index ix_923bd178 on address (companyid, classnameid, classpk);
create index ix_9f704a14 on phone (companyid, classnameid, classpk);
create unique index ix_a88e424e on role_ (companyid, classnameid, classpk, ctcollectionid);
create unique index ix_7579ea6f on group_ (companyid, classnameid, classpk, ctcollectionid);
create index ix_5aa68501 on group_ (companyid, name);
create index ix_c1a01806 on users_roles (userid);
create index ix_f10b6c6b on users_groups (userid);
create index ix_3e5d78c4 on usernotificationevent (userid);
create unique index ix_b27a301f on classname_ (value);
create unique index ix_8bd6bca7 on release_ (servletcontextname);
create unique index ix_edb9986e on resourceaction (name, actionid);
create unique index ix_8d83d0ce on resourcepermission (companyid, name, scope, primkey, roleid, ctcollectionid);
create index ix_a37a0588 on resourcepermission (roleid);
create index ix_2578fbd3 on resourcepermission (companyid, primkey);
create unique index ix_704daf15 on layout (groupid, privatelayout, layoutid, ctcollectionid);
create unique index ix_a6fc2b28 on layoutfriendlyurl (groupid, privatelayout, friendlyurl, languageid, ctcollectionid);
create unique index ix_c7057ff7 on portletpreferences (ownerid, ownertype, plid, portletid, ctcollectionid);
create index ix_d5a3a2b4 on portletpreferencevalue (portletpreferencesid, name);
create index ix_7a2f0ece on systemevent (groupid, classnameid, classpk);
create index ix_3d9a4d62 on audit_auditevent (companyid, createdate);
create unique index ix_228562ad on lock_ (classname, key_);
create unique index ix_902fd874 on dlfolder (groupid, parentfolderid, name, ctcollectionid);
create index ix_4915cc4 on dlfolder (groupid, parentfolderid, mountpoint, hidden_);
create unique index ix_5391712 on dlfileentry (groupid, folderid, name, ctcollectionid);
create unique index ix_ed5ca615 on dlfileentry (groupid, folderid, title, ctcollectionid);
create index ix_43261870 on dlfileentry (groupid, userid);
create index ix_8f6c75d0 on dlfileentry (folderid, name);
create unique index ix_e2815081 on dlfileversion (fileentryid, version, ctcollectionid);
create index ix_dfd809d3 on dlfileversion (groupid, folderid, status);
create index ix_9be769ed on dlfileversion (groupid, folderid, title, version);
create index ix_7332b44f on dlfileentrymetadata (ddmstructureid, fileversionid);
create unique index ix_eb531760 on dlcontent (companyid, repositoryid, path_, version, ctcollectionid);
create unique index ix_c5d5a6dd on amimageentry (configurationuuid, fileversionid, ctcollectionid);
create unique index ix_c8785130 on ddmstructure (groupid, classnameid, structurekey, ctcollectionid);
create unique index ix_e6dfab84 on ddmtemplate (groupid, classnameid, templatekey, ctcollectionid);
create unique index ix_e8b3b0c0 on journalfolder (groupid, parentfolderid, name, ctcollectionid);
create unique index ix_88df994a on journalarticleresource (groupid, articleid, ctcollectionid);
create unique index ix_85c52eec on journalarticle (groupid, articleid, version, ctcollectionid);
create index ix_3f1ea19e on journalarticle (layoutuuid);
create index ix_451d63ec on journalarticle (resourceprimkey, indexable, status);
create index ix_22882d02 on journalarticle (groupid, urltitle);
create unique index ix_ace2e0e8 on journalarticlelocalization (articlepk, languageid, ctcollectionid);
create unique index ix_1e9d371d on assetentry (classnameid, classpk, ctcollectionid);
create index ix_29d0af28 on assetentry (expirationdate);
create index ix_1eba6821 on assetentry (groupid, classuuid);
create index ix_2008facb on assetcategory (groupid, vocabularyid);
create unique index ix_d63322f9 on assettag (groupid, name, ctcollectionid);
create index ix_112337b8 on assetentries_assettags (tagid);
create unique index ix_37562284 on expandotable (companyid, classnameid, name, ctcollectionid);
create unique index ix_fefc8da7 on expandocolumn (tableid, name, ctcollectionid);
create unique index ix_81efbff5 on expandorow (tableid, classpk, ctcollectionid);
create unique index ix_9ddd21e5 on expandovalue (columnid, rowid_, ctcollectionid);
create index ix_1be6d9cc on expandovalue (tableid, columnid, md5(data_));
create index ix_a3ad21cd on mbthread (groupid, categoryid, lastpostdate);
create index ix_4b57f85f on mbmessage (threadid, parentmessageid);
create index ix_377858d2 on mbmessage (groupid, userid, status);
create index acme_visit_details on acme_visit using gin (details);
create index acme_visit_paid on acme_visit (userid, visited desc) where price > 0;

-- foreign keys
alter table user_ add constraint fk_user_company foreign key (companyid) references company;
alter table group_ add constraint fk_group_company foreign key (companyid) references company;
alter table role_ add constraint fk_role_company foreign key (companyid) references company;
alter table users_roles add constraint fk_users_roles_role foreign key (roleid, ctcollectionid) references role_;
alter table users_roles add constraint fk_users_roles_user foreign key (userid, ctcollectionid) references user_;
alter table users_groups add constraint fk_users_groups_group foreign key (groupid, ctcollectionid) references group_;
alter table users_groups add constraint fk_users_groups_user foreign key (userid, ctcollectionid) references user_;
alter table layout add constraint fk_layout_group foreign key (groupid, ctcollectionid) references group_;
alter table layoutfriendlyurl
    add constraint fk_layoutfriendlyurl_layout foreign key (plid, ctcollectionid) references layout on delete cascade;
alter table portletpreferencevalue
    add constraint fk_preferencevalue_preferences foreign key (portletpreferencesid, ctcollectionid)
    references portletpreferences on delete cascade;
alter table dlfolder add constraint fk_dlfolder_group foreign key (groupid, ctcollectionid) references group_;
alter table dlfileentry add constraint fk_dlfileentry_group foreign key (groupid, ctcollectionid) references group_;
alter table dlfileentry
    add constraint fk_dlfileentry_type foreign key (fileentrytypeid, ctcollectionid) references dlfileentrytype;
alter table dlfileversion
    add constraint fk_dlfileversion_entry foreign key (fileentryid, ctcollectionid) references dlfileentry
    on delete cascade;
alter table dlfileentrymetadata
    add constraint fk_dlfileentrymetadata_version foreign key (fileversionid, ctcollectionid)
    references dlfileversion on delete cascade;
alter table amimageentry
    add constraint fk_amimageentry_version foreign key (fileversionid, ctcollectionid) references dlfileversion
    on delete cascade;
alter table journalarticle
    add constraint fk_journalarticle_resource foreign key (resourceprimkey, ctcollectionid)
    references journalarticleresource;
alter table journalarticle
    add constraint fk_journalarticle_folder foreign key (folderid, ctcollectionid) references journalfolder;
alter table journalarticlelocalization
    add constraint fk_journalarticlelocalization_article foreign key (articlepk, ctcollectionid)
    references journalarticle on delete cascade;
alter table assetcategory
    add constraint fk_assetcategory_vocabulary foreign key (vocabularyid, ctcollectionid) references assetvocabulary;
alter table assetentries_assettags
    add constraint fk_assetentries_assettags_entry foreign key (entryid, ctcollectionid) references assetentry
    on delete cascade;
alter table assetentries_assettags
    add constraint fk_assetentries_assettags_tag foreign key (tagid, ctcollectionid) references assettag;
alter table expandocolumn
    add constraint fk_expandocolumn_table foreign key (tableid, ctcollectionid) references expandotable;
alter table expandovalue
    add constraint fk_expandovalue_row foreign key (rowid_, ctcollectionid) references expandorow on delete cascade;
alter table mbthread
    add constraint fk_mbthread_category foreign key (categoryid, ctcollectionid) references mbcategory;
alter table mbmessage
    add constraint fk_mbmessage_thread foreign key (threadid, ctcollectionid) references mbthread on delete cascade;
alter table quartz_triggers
    add constraint fk_quartz_triggers_job foreign key (sched_name, job_name, job_group)
    references quartz_job_details;
alter table quartz_cron_triggers
    add constraint fk_quartz_cron_triggers_trigger foreign key (sched_name, trigger_name, trigger_group)
    references quartz_triggers;
alter table acme_visit add constraint acme_visit_duration check (duration >= interval '0') not valid;

-- Liferay keeps large objects tied to their rows by rules of this kind
create rule delete_dlcontent_data_ as on delete to dlcontent do also
    select case when exists (select 1 from pg_catalog.pg_largeobject_metadata where oid = old.data_)
    then lo_unlink(old.data_) end from dlcontent where dlcontent.data_ = old.data_;
create rule update_dlcontent_data_ as on update to dlcontent
    where old.data_ is distinct from new.data_ and old.data_ is not null do also
    select case when exists (select 1 from pg_catalog.pg_largeobject_metadata where oid = old.data_)
    then lo_unlink(old.data_) end from dlcontent where dlcontent.data_ = old.data_;
