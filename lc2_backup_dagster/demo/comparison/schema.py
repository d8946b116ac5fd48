"""Queries that list a database's definitions as (name, definition), for comparing them as text.

With an empty search path PostgreSQL prints every name with its schema. Owners and grants are left out: a restore may
put them aside on purpose. Definitions printed by different major versions can differ in form only.
"""
# ruff: noqa: S608  the queries are put together from constants of this module

_OURS = "n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
_NOT_OF_EXTENSION = "not exists (select from pg_depend d where d.objid = {oid} and d.deptype = 'e')"
_RELATION = "format('%I.%I', n.nspname, c.relname)"

SCHEMA_QUERIES = {
    "database": """
        select 'settings', concat_ws(' ', pg_encoding_to_char(encoding), datcollate, datctype)
        from pg_database where datname = current_database()
    """,
    "schema": f"""
        select n.nspname, coalesce(obj_description(n.oid, 'pg_namespace'), '') from pg_namespace n where {_OURS}
    """,
    "extension": "select extname, extversion from pg_extension",
    "relation": f"""
        select {_RELATION}, concat_ws(' ', 'kind', c.relkind, c.relpersistence, c.reloptions::text, c.relreplident,
            c.relrowsecurity, c.relforcerowsecurity, pg_get_expr(c.relpartbound, c.oid),
            case when c.relkind = 'p' then pg_get_partkeydef(c.oid) end,
            case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end,
            (select string_agg(i.inhparent::regclass::text, ',' order by i.inhseqno) from pg_inherits i
             where i.inhrelid = c.oid),
            obj_description(c.oid, 'pg_class'))
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where {_OURS} and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    """,
    "column": f"""
        select {_RELATION} || '.' || quote_ident(a.attname), concat_ws(' ',
            row_number() over (partition by c.oid order by a.attnum), format_type(a.atttypid, a.atttypmod),
            case when a.attnotnull then 'not null' end, 'identity=' || a.attidentity::text,
            'generated=' || a.attgenerated::text, 'storage=' || a.attstorage::text,
            case when a.attcollation <> 0 then a.attcollation::regcollation::text end,
            'default', pg_get_expr(e.adbin, e.adrelid), col_description(c.oid, a.attnum))
        from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
        left join pg_attrdef e on e.adrelid = a.attrelid and e.adnum = a.attnum
        where {_OURS} and a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v', 'm', 'f', 'c')
    """,
    "index": f"""
        select format('%I.%I', n.nspname, c.relname), concat_ws(' ', pg_get_indexdef(c.oid),
            case when not i.indisvalid then 'invalid' end, case when i.indisclustered then 'clustered' end,
            case when i.indisreplident then 'replica identity' end)
        from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
        where {_OURS}
    """,
    # Since version 18 "not null" is a constraint of its own; the columns tell of it already.
    "constraint": f"""
        select {_RELATION} || ' ' || quote_ident(k.conname),
            pg_get_constraintdef(k.oid) || case when k.convalidated then '' else ' (not validated)' end
        from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
        where {_OURS} and k.contype <> 'n'
    """,
    "trigger": f"""
        select {_RELATION} || ' ' || quote_ident(t.tgname), pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
        from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
        where {_OURS} and not t.tgisinternal
    """,
    "rule": f"""
        select {_RELATION} || ' ' || quote_ident(r.rulename), pg_get_ruledef(r.oid) || ' ' || r.ev_enabled::text
        from pg_rewrite r join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace
        where {_OURS} and r.rulename <> '_RETURN'
    """,
    "policy": f"""
        select {_RELATION} || ' ' || quote_ident(p.polname), concat_ws(' ', p.polcmd, p.polpermissive,
            pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
        from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
        where {_OURS}
    """,
    "function": f"""
        select p.oid::regprocedure::text, case when p.prokind <> 'a' then pg_get_functiondef(p.oid) else 'aggregate' end
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where {_OURS} and {_NOT_OF_EXTENSION.format(oid="p.oid")}
    """,
    # Before version 14 a sequence was a row type, too.
    "type": f"""
        select format('%I.%I', n.nspname, t.typname), concat_ws(' ', t.typtype,
            case when t.typtype = 'd' then format_type(t.typbasetype, t.typtypmod) end, t.typnotnull, t.typdefault,
            (select string_agg(quote_literal(e.enumlabel), ',' order by e.enumsortorder) from pg_enum e
             where e.enumtypid = t.oid),
            (select string_agg(pg_get_constraintdef(k.oid), ' ' order by k.conname) from pg_constraint k
             where k.contypid = t.oid and k.contype <> 'n'))
        from pg_type t join pg_namespace n on n.oid = t.typnamespace
        where {_OURS} and t.typtype in ('e', 'd', 'r', 'c') and {_NOT_OF_EXTENSION.format(oid="t.oid")}
          and not exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'S')
    """,
    "statistics": f"""
        select format('%I.%I', n.nspname, s.stxname), pg_get_statisticsobjdef(s.oid)
        from pg_statistic_ext s join pg_namespace n on n.oid = s.stxnamespace where {_OURS}
    """,
    "sequence": """
        select format('%I.%I', schemaname, sequencename),
            concat_ws(' ', data_type, start_value, min_value, max_value, increment_by, cycle, cache_size)
        from pg_sequences
    """,
}
"""Mapping of kind of definition → query for (name, definition)."""

# One row per table that has rows of its own: schema, name, columns of the primary key (empty without one), columns.
TABLES_QUERY = f"""
    select n.nspname, c.relname,
        array(select a.attname::text from pg_index i, unnest(i.indkey::smallint[]) with ordinality as k (number, place)
              join pg_attribute a on a.attrelid = c.oid and a.attnum = k.number
              where a.attrelid = i.indrelid and i.indisprimary and i.indrelid = c.oid order by k.place),
        array(select a.attname::text from pg_attribute a
              where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where {_OURS} and c.relkind in ('r', 'm') order by 1, 2
"""
SEQUENCES_QUERY = f"""
    select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where {_OURS} and c.relkind = 'S' order by 1, 2
"""
