-- Tables of a Liferay DXP database as PostgreSQL shows them: unquoted names folded to lower case, LONG as bigint,
-- STRING and TEXT as text, DATE as timestamp, BLOB as oid (a large object). Keys, indexes and foreign keys follow in
-- liferay_constraints.sql, after the rows: building them once is several times faster than keeping them up to date.

-- who -----------------------------------------------------------------------------------------------------------
create table company (
    mvccversion bigint default 0 not null, companyid bigint not null, userid bigint, username varchar(75),
    createdate timestamp, modifieddate timestamp, webid varchar(75), mx varchar(200), homeurl text, logoid bigint,
    maxusers integer, active_ boolean, name varchar(75), legalname varchar(75), industry varchar(75)
);
create table virtualhost (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, virtualhostid bigint not null,
    companyid bigint, layoutsetid bigint, hostname varchar(200), defaultvirtualhost boolean, languageid varchar(75)
);
create table user_ (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    externalreferencecode varchar(75), userid bigint not null, companyid bigint, createdate timestamp,
    modifieddate timestamp, contactid bigint, password_ varchar(255), passwordencrypted boolean,
    passwordreset boolean, passwordmodifieddate timestamp, digest varchar(255), reminderqueryquestion varchar(75),
    reminderqueryanswer varchar(75), gracelogincount integer, screenname varchar(75), emailaddress varchar(254),
    facebookid bigint, googleuserid varchar(75), ldapserverid bigint, openid varchar(1024), portraitid bigint,
    languageid varchar(75), timezoneid varchar(75), greeting varchar(255), comments text, firstname varchar(75),
    middlename varchar(75), lastname varchar(75), jobtitle varchar(100), logindate timestamp, loginip varchar(75),
    lastlogindate timestamp, lastloginip varchar(75), lastfailedlogindate timestamp, failedloginattempts integer,
    lockout boolean, lockoutdate timestamp, agreedtotermsofuse boolean, emailaddressverified boolean, type_ integer,
    status integer
);
create table contact_ (
    mvccversion bigint default 0 not null, contactid bigint not null, companyid bigint, userid bigint,
    username varchar(75), createdate timestamp, modifieddate timestamp, classnameid bigint, classpk bigint,
    parentcontactid bigint, emailaddress varchar(254), firstname varchar(75), middlename varchar(75),
    lastname varchar(75), prefixlisttypeid bigint, suffixlisttypeid bigint, male boolean, birthday timestamp,
    smssn varchar(75), facebooksn varchar(75), jabbersn varchar(75), skypesn varchar(75), twittersn varchar(75),
    employeestatusid varchar(75), employeenumber varchar(75), jobtitle varchar(100), jobclass varchar(75),
    hoursofoperation varchar(75)
);
create table emailaddress (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    emailaddressid bigint not null, companyid bigint, userid bigint, username varchar(75), createdate timestamp,
    modifieddate timestamp, classnameid bigint, classpk bigint, address varchar(254), listtypeid bigint,
    primary_ boolean
);
create table address (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    addressid bigint not null, companyid bigint, userid bigint, username varchar(75), createdate timestamp,
    modifieddate timestamp, classnameid bigint, classpk bigint, city varchar(75), latitude double precision,
    longitude double precision, name varchar(255), primary_ boolean, street1 varchar(255), street2 varchar(255),
    zip varchar(75)
);
create table phone (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    phoneid bigint not null, companyid bigint, userid bigint, username varchar(75), createdate timestamp,
    modifieddate timestamp, classnameid bigint, classpk bigint, number_ varchar(75), extension varchar(75),
    listtypeid bigint, primary_ boolean
);
create table role_ (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    roleid bigint not null, companyid bigint, userid bigint, username varchar(75), createdate timestamp,
    modifieddate timestamp, classnameid bigint, classpk bigint, name varchar(75), title text, description text,
    type_ integer, subtype varchar(75), status integer
);
create table group_ (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    externalreferencecode varchar(75), groupid bigint not null, companyid bigint, creatoruserid bigint,
    modifieddate timestamp, classnameid bigint, classpk bigint, parentgroupid bigint, livegroupid bigint,
    treepath text, groupkey varchar(150), name text, description text, type_ integer, typesettings text,
    manualmembership boolean, membershiprestriction integer, friendlyurl varchar(255), site boolean,
    remotestaginggroupcount integer, inheritcontent boolean, active_ boolean
);
create table organization_ (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    externalreferencecode varchar(75), organizationid bigint not null, companyid bigint, userid bigint,
    username varchar(75), createdate timestamp, modifieddate timestamp, parentorganizationid bigint, treepath text,
    name varchar(100), type_ varchar(75), comments text, status integer
);
create table usergroup (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    externalreferencecode varchar(75), usergroupid bigint not null, companyid bigint, userid bigint,
    username varchar(75), createdate timestamp, modifieddate timestamp, parentusergroupid bigint, name varchar(255),
    description text, addedbyldapimport boolean, status integer
);
create table users_roles (
    companyid bigint not null, roleid bigint not null, userid bigint not null,
    ctcollectionid bigint default 0 not null, ctchangetype boolean
);
create table users_groups (
    companyid bigint not null, groupid bigint not null, userid bigint not null,
    ctcollectionid bigint default 0 not null, ctchangetype boolean
);
create table users_orgs (
    companyid bigint not null, organizationid bigint not null, userid bigint not null,
    ctcollectionid bigint default 0 not null, ctchangetype boolean
);
create table users_usergroups (
    companyid bigint not null, userid bigint not null, usergroupid bigint not null,
    ctcollectionid bigint default 0 not null, ctchangetype boolean
);
create table passwordtracker (
    mvccversion bigint default 0 not null, passwordtrackerid bigint not null, companyid bigint, userid bigint,
    createdate timestamp, password_ varchar(255)
);
create table usernotificationevent (
    mvccversion bigint default 0 not null, uuid_ varchar(75), usernotificationeventid bigint not null,
    companyid bigint, userid bigint, type_ varchar(200), timestamp bigint, deliverytype integer, deliverby bigint,
    delivered boolean, payload text, actionrequired boolean, archived boolean
);

-- the platform --------------------------------------------------------------------------------------------------
create table counter (name varchar(150) not null, currentid bigint);
create table classname_ (mvccversion bigint default 0 not null, classnameid bigint not null, value varchar(200));
create table release_ (
    mvccversion bigint default 0 not null, releaseid bigint not null, createdate timestamp, modifieddate timestamp,
    servletcontextname varchar(75), schemaversion varchar(75), buildnumber integer, builddate timestamp,
    verified boolean, state_ integer, teststring varchar(1024)
);
create table servicecomponent (
    mvccversion bigint default 0 not null, servicecomponentid bigint not null, buildnamespace varchar(75),
    buildnumber bigint, builddate bigint, data_ text
);
create table resourceaction (
    mvccversion bigint default 0 not null, resourceactionid bigint not null, name varchar(255), actionid varchar(75),
    bitwisevalue bigint
);
create table resourcepermission (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null,
    resourcepermissionid bigint not null, companyid bigint, name varchar(255), scope integer, primkey varchar(255),
    primkeyid bigint, roleid bigint, ownerid bigint, actionids bigint, viewactionid boolean
);
create table layoutset (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, layoutsetid bigint not null,
    groupid bigint, companyid bigint, createdate timestamp, modifieddate timestamp, privatelayout boolean,
    logoid bigint, themeid varchar(75), colorschemeid varchar(75), css text, settings_ text
);
create table layout (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    externalreferencecode varchar(75), plid bigint not null, groupid bigint, companyid bigint, userid bigint,
    username varchar(75), createdate timestamp, modifieddate timestamp, parentplid bigint, privatelayout boolean,
    layoutid bigint, parentlayoutid bigint, classnameid bigint, classpk bigint, name text, title text,
    description text, keywords text, robots text, type_ varchar(75), typesettings text, hidden_ boolean,
    system_ boolean, friendlyurl varchar(255), iconimageid bigint, themeid varchar(75), colorschemeid varchar(75),
    css text, priority integer, publishdate timestamp, lastpublishdate timestamp, status integer,
    statusbyuserid bigint, statusbyusername varchar(75), statusdate timestamp
);
create table layoutfriendlyurl (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    layoutfriendlyurlid bigint not null, groupid bigint, companyid bigint, userid bigint, username varchar(75),
    createdate timestamp, modifieddate timestamp, plid bigint, privatelayout boolean, friendlyurl varchar(255),
    languageid varchar(75), lastpublishdate timestamp
);
create table portletpreferences (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null,
    portletpreferencesid bigint not null, companyid bigint, ownerid bigint, ownertype integer, plid bigint,
    portletid varchar(200)
);
create table portletpreferencevalue (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null,
    portletpreferencevalueid bigint not null, companyid bigint, portletpreferencesid bigint, index_ integer,
    largevalue text, name varchar(255), readonly boolean, smallvalue varchar(255)
);
create table systemevent (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, systemeventid bigint not null,
    groupid bigint, companyid bigint, userid bigint, username varchar(75), createdate timestamp, classnameid bigint,
    classpk bigint, classuuid varchar(75), type_ integer, extradata text
);
create table audit_auditevent (
    auditeventid bigint not null, companyid bigint, groupid bigint, userid bigint, username varchar(75),
    createdate timestamp, eventtype varchar(75), classname varchar(200), classpk varchar(75), message text,
    clienthost varchar(255), clientip varchar(255), servername varchar(255), serverport integer,
    sessionid varchar(255), additionalinfo text
);
create table lock_ (
    mvccversion bigint default 0 not null, uuid_ varchar(75), lockid bigint not null, companyid bigint,
    userid bigint, username varchar(75), createdate timestamp, classname varchar(75), key_ varchar(255),
    owner varchar(1024), inheritable boolean, expirationdate timestamp
);
create table batchengineimporttask (
    mvccversion bigint default 0 not null, uuid_ varchar(75), batchengineimporttaskid bigint not null,
    companyid bigint, userid bigint, createdate timestamp, modifieddate timestamp, batchsize bigint,
    classname varchar(255), content oid, contenttype varchar(75), executestatus varchar(75), parameters text
);
create table quartz_job_details (
    sched_name varchar(120) not null, job_name varchar(200) not null, job_group varchar(200) not null,
    description varchar(250), job_class_name varchar(250) not null, is_durable boolean not null,
    is_nonconcurrent boolean not null, is_update_data boolean not null, requests_recovery boolean not null,
    job_data bytea
);
create table quartz_triggers (
    sched_name varchar(120) not null, trigger_name varchar(200) not null, trigger_group varchar(200) not null,
    job_name varchar(200) not null, job_group varchar(200) not null, description varchar(250), next_fire_time bigint,
    prev_fire_time bigint, priority integer, trigger_state varchar(16) not null, trigger_type varchar(8) not null,
    start_time bigint not null, end_time bigint, calendar_name varchar(200), misfire_instr integer, job_data bytea
);
create table quartz_cron_triggers (
    sched_name varchar(120) not null, trigger_name varchar(200) not null, trigger_group varchar(200) not null,
    cron_expression varchar(200) not null, time_zone_id varchar(80)
);
create table quartz_locks (sched_name varchar(120) not null, lock_name varchar(40) not null);

-- documents and media -------------------------------------------------------------------------------------------
create table repository (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    repositoryid bigint not null, groupid bigint, companyid bigint, userid bigint, username varchar(75),
    createdate timestamp, modifieddate timestamp, classnameid bigint, name varchar(200), description text,
    portletid varchar(200), typesettings text, dlfolderid bigint, lastpublishdate timestamp
);
create table dlfolder (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    externalreferencecode varchar(75), folderid bigint not null, groupid bigint, companyid bigint, userid bigint,
    username varchar(75), createdate timestamp, modifieddate timestamp, repositoryid bigint, mountpoint boolean,
    parentfolderid bigint, treepath text, name varchar(255), description text, lastpostdate timestamp,
    defaultfileentrytypeid bigint, hidden_ boolean, restrictiontype integer, lastpublishdate timestamp,
    status integer, statusbyuserid bigint, statusbyusername varchar(75), statusdate timestamp
);
create table dlfileentrytype (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    fileentrytypeid bigint not null, groupid bigint, companyid bigint, userid bigint, username varchar(75),
    createdate timestamp, modifieddate timestamp, datadefinitionid bigint, fileentrytypekey varchar(75), name text,
    description text, scope integer, lastpublishdate timestamp
);
create table dlfileentry (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    externalreferencecode varchar(75), fileentryid bigint not null, groupid bigint, companyid bigint, userid bigint,
    username varchar(75), createdate timestamp, modifieddate timestamp, classnameid bigint, classpk bigint,
    repositoryid bigint, folderid bigint, treepath text, name varchar(255), filename varchar(255),
    extension varchar(75), mimetype varchar(75), title varchar(255), description text, extrasettings text,
    fileentrytypeid bigint, version varchar(75), size_ bigint, smallimageid bigint, largeimageid bigint,
    custom1imageid bigint, custom2imageid bigint, manualcheckinrequired boolean, displaydate timestamp,
    expirationdate timestamp, reviewdate timestamp, lastpublishdate timestamp
);
create table dlfileversion (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    fileversionid bigint not null, groupid bigint, companyid bigint, userid bigint, username varchar(75),
    createdate timestamp, modifieddate timestamp, repositoryid bigint, folderid bigint, fileentryid bigint,
    treepath text, filename varchar(255), extension varchar(75), mimetype varchar(75), title varchar(255),
    description text, changelog varchar(75), extrasettings text, fileentrytypeid bigint, version varchar(75),
    size_ bigint, checksum varchar(75), storeuuid varchar(255), displaydate timestamp, expirationdate timestamp,
    reviewdate timestamp, lastpublishdate timestamp, status integer, statusbyuserid bigint,
    statusbyusername varchar(75), statusdate timestamp
);
create table dlfileentrymetadata (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    externalreferencecode varchar(75), fileentrymetadataid bigint not null, companyid bigint, ddmstorageid bigint,
    ddmstructureid bigint, fileentryid bigint, fileversionid bigint
);
create table dlcontent (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, contentid bigint not null,
    groupid bigint, companyid bigint, repositoryid bigint, path_ varchar(255), version varchar(75), data_ oid,
    size_ bigint
);
create table amimageentry (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    amimageentryid bigint not null, groupid bigint, companyid bigint, createdate timestamp,
    configurationuuid varchar(75), fileversionid bigint, mimetype varchar(75), height integer, width integer,
    size_ bigint
);

-- web content ---------------------------------------------------------------------------------------------------
create table ddmstructure (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    structureid bigint not null, groupid bigint, companyid bigint, userid bigint, username varchar(75),
    createdate timestamp, modifieddate timestamp, parentstructureid bigint, classnameid bigint,
    structurekey varchar(75), version varchar(75), name text, description text, definition text,
    storagetype varchar(75), type_ integer
);
create table ddmtemplate (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    templateid bigint not null, groupid bigint, companyid bigint, userid bigint, username varchar(75),
    createdate timestamp, modifieddate timestamp, classnameid bigint, classpk bigint, templatekey varchar(75),
    version varchar(75), name text, type_ varchar(75), language varchar(75), script text, cacheable boolean
);
create table journalfolder (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    externalreferencecode varchar(75), folderid bigint not null, groupid bigint, companyid bigint, userid bigint,
    username varchar(75), createdate timestamp, modifieddate timestamp, parentfolderid bigint, treepath text,
    name varchar(100), description text, restrictiontype integer, status integer
);
create table journalarticleresource (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    resourceprimkey bigint not null, groupid bigint, companyid bigint, articleid varchar(75)
);
create table journalarticle (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    id_ bigint not null, resourceprimkey bigint, groupid bigint, companyid bigint, userid bigint,
    username varchar(75), createdate timestamp, modifieddate timestamp, externalreferencecode varchar(75),
    folderid bigint, classnameid bigint, classpk bigint, treepath text, articleid varchar(75),
    version double precision, urltitle varchar(255), content text, ddmstructurekey varchar(75),
    ddmtemplatekey varchar(75), defaultlanguageid varchar(75), layoutuuid varchar(75), displaydate timestamp,
    expirationdate timestamp, reviewdate timestamp, indexable boolean, smallimage boolean, smallimageid bigint,
    smallimageurl text, lastpublishdate timestamp, status integer, statusbyuserid bigint,
    statusbyusername varchar(75), statusdate timestamp
);
create table journalarticlelocalization (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null,
    articlelocalizationid bigint not null, companyid bigint, articlepk bigint, title varchar(800), description text,
    languageid varchar(75)
);
create table assetvocabulary (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    externalreferencecode varchar(75), vocabularyid bigint not null, groupid bigint, companyid bigint,
    userid bigint, username varchar(75), createdate timestamp, modifieddate timestamp, name varchar(75), title text,
    description text, settings_ text, visibilitytype integer
);
create table assetcategory (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    externalreferencecode varchar(75), categoryid bigint not null, groupid bigint, companyid bigint, userid bigint,
    username varchar(75), createdate timestamp, modifieddate timestamp, parentcategoryid bigint, treepath text,
    name varchar(255), title text, description text, vocabularyid bigint, lastpublishdate timestamp
);
create table assettag (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    externalreferencecode varchar(75), tagid bigint not null, groupid bigint, companyid bigint, userid bigint,
    username varchar(75), createdate timestamp, modifieddate timestamp, name varchar(75), assetcount integer,
    lastpublishdate timestamp
);
create table assetentry (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, entryid bigint not null,
    groupid bigint, companyid bigint, userid bigint, username varchar(75), createdate timestamp,
    modifieddate timestamp, classnameid bigint, classpk bigint, classuuid varchar(75), classtypeid bigint,
    listable boolean, visible boolean, startdate timestamp, enddate timestamp, publishdate timestamp,
    expirationdate timestamp, mimetype varchar(75), title text, description text, summary text, url text,
    layoutuuid varchar(75), height integer, width integer, priority double precision
);
create table assetentries_assettags (
    companyid bigint not null, entryid bigint not null, tagid bigint not null,
    ctcollectionid bigint default 0 not null, ctchangetype boolean
);
create table assetentryassetcategoryrel (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null,
    assetentryassetcategoryrelid bigint not null, companyid bigint, assetentryid bigint, assetcategoryid bigint,
    priority integer
);
create table expandotable (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, tableid bigint not null,
    companyid bigint, classnameid bigint, name varchar(75)
);
create table expandocolumn (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, columnid bigint not null,
    companyid bigint, modifieddate timestamp, tableid bigint, name varchar(75), type_ integer, defaultdata text,
    typesettings text
);
create table expandorow (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, rowid_ bigint not null,
    companyid bigint, modifieddate timestamp, tableid bigint, classpk bigint
);
create table expandovalue (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, valueid bigint not null,
    companyid bigint, tableid bigint, columnid bigint, rowid_ bigint, classnameid bigint, classpk bigint, data_ text
);
create table mbcategory (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    categoryid bigint not null, groupid bigint, companyid bigint, userid bigint, username varchar(75),
    createdate timestamp, modifieddate timestamp, parentcategoryid bigint, name varchar(75), description text,
    displaystyle varchar(75), lastpostdate timestamp, status integer
);
create table mbthread (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    threadid bigint not null, groupid bigint, companyid bigint, userid bigint, username varchar(75),
    createdate timestamp, modifieddate timestamp, categoryid bigint, rootmessageid bigint, rootmessageuserid bigint,
    title text, lastpostbyuserid bigint, lastpostdate timestamp, priority double precision, question boolean,
    status integer
);
create table mbmessage (
    mvccversion bigint default 0 not null, ctcollectionid bigint default 0 not null, uuid_ varchar(75),
    externalreferencecode varchar(75), messageid bigint not null, groupid bigint, companyid bigint, userid bigint,
    username varchar(75), createdate timestamp, modifieddate timestamp, classnameid bigint, classpk bigint,
    categoryid bigint, threadid bigint, rootmessageid bigint, parentmessageid bigint, treepath text,
    subject varchar(75), urlsubject varchar(255), body text, format varchar(75), anonymous boolean,
    priority double precision, allowpingbacks boolean, answer boolean, lastpublishdate timestamp, status integer,
    statusbyuserid bigint, statusbyusername varchar(75), statusdate timestamp
);

-- what a customer's own modules add, with the types that Liferay's service builder never writes ------------------
create table acme_visit (
    visitid bigserial not null, companyid bigint not null, userid bigint, plid bigint, visited timestamptz not null,
    duration interval, path text[], details jsonb, price numeric(12, 4), client inet, score real,
    campaign_code varchar(40), pricegroup integer generated always as (floor(price / 10)::integer) stored
);
create view acme_visits_by_user as
    select userid, count(*) as visits, max(visited) as last_visit, sum(price) as spent
    from acme_visit group by userid;
comment on table acme_visit is 'page visits, written by the customer''s tracking module';
-- For benchmarks: bytes that no compressor can shrink; empty unless asked for.
create table acme_attachment (attachmentid bigint not null, name varchar(255), content bytea);
alter table acme_attachment alter column content set storage external;
