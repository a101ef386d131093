//! What of the database is in a backup: every table and every column stands here, or its table is left out
//! with a reason.

use std::ops::RangeInclusive;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Text,
    Bytes,
}

/// One column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) is_nullable: bool,
}

impl Column {
    const fn or_null(self) -> Self {
        Self { is_nullable: true, ..self }
    }

    /// Whether a number can stand in it: what is counted on from must leave room to do so.
    pub(super) fn can_be(&self, number: i64) -> bool {
        match self.name {
            "version" | "deployed_version" => (1..=MAX_COUNT).contains(&number),
            "revision" => (0..=MAX_COUNT).contains(&number),
            // Whoever issues a key may choose any instant.
            "not_after" => true,
            _ => INSTANTS.contains(&number),
        }
    }
}

/// The highest revision or version that is restored: what JSON numbers are exact to in every language.
pub(super) const MAX_COUNT: i64 = (1 << 53) - 1;

/// The instants of the years 0 to 9999, which RFC 3339 can write, in milliseconds since 1970.
const INSTANTS: RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

const fn integer(name: &'static str) -> Column {
    Column { name, kind: Kind::Integer, is_nullable: false }
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text, is_nullable: false }
}

const fn bytes(name: &'static str) -> Column {
    Column { name, kind: Kind::Bytes, is_nullable: false }
}

/// One table that is in a backup. Those that it refers to come before it.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Those of the primary key come first, in its order.
    pub(super) columns: &'static [Column],
    /// How many columns the primary key has.
    pub(super) key: usize,
    /// These columns hold the primary key of a row in that table.
    pub(super) references: &'static [(&'static [&'static str], &'static str)],
    /// Where it is.
    pub(super) on: On,
    /// How many rows are read at once: a few hundred kilobytes in all.
    pub(super) rows_at_once: usize,
}

/// The databases that have a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    Both,
    /// A backup of the embedded store does not have it, and one that is restored there goes without.
    Postgres,
}

const APP: (&[&str], &str) = (&["app_id"], "apps");

/// Everything that is in a backup, in the order of its lines.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "apps",
        columns: &[
            bytes("id"),
            text("name"),
            integer("created_at"),
            integer("deployed_version").or_null(),
        ],
        key: 1,
        references: &[],
        on: On::Both,
        rows_at_once: 500,
    },
    Table {
        name: "access_keys",
        columns: &[
            bytes("app_id"),
            bytes("id"),
            text("slot"),
            bytes("sealed").or_null(),
            integer("created_at"),
            text("created_by"),
            integer("revision"),
            integer("regenerated_at").or_null(),
        ],
        key: 2,
        references: &[APP],
        on: On::Both,
        rows_at_once: 500,
    },
    Table {
        name: "api_keys",
        columns: &[
            text("id"),
            bytes("app_id"),
            bytes("access_key_id"),
            text("label").or_null(),
            text("scopes").or_null(),
            integer("issued_at"),
            text("issued_by"),
            integer("not_after").or_null(),
            integer("last_used_at").or_null(),
        ],
        key: 1,
        references: &[(&["app_id", "access_key_id"], "access_keys")],
        on: On::Both,
        rows_at_once: 500,
    },
    Table {
        name: "revocations",
        columns: &[bytes("app_id"), text("id"), integer("revoked_at"), text("revoked_by")],
        key: 2,
        references: &[APP],
        on: On::Both,
        rows_at_once: 500,
    },
    Table {
        name: "audit_events",
        columns: &[
            text("id"),
            bytes("app_id"),
            integer("at"),
            text("caller"),
            text("action"),
            text("subject"),
            text("detail"),
        ],
        key: 1,
        references: &[APP],
        on: On::Both,
        rows_at_once: 500,
    },
    Table {
        name: DEPLOYMENTS,
        columns: &[
            bytes("app_id"),
            integer("version"),
            text("id"),
            bytes("sealed"),
            text("public_url").or_null(),
            integer("deployed_at"),
            text("deployed_by"),
            text("note"),
        ],
        key: 2,
        references: &[APP],
        on: On::Both,
        // Each may have all files of an app.
        rows_at_once: 1,
    },
    Table {
        name: OPERATOR_TOKENS,
        columns: &[text("name"), bytes("sealed"), integer("created_at")],
        key: 1,
        references: &[],
        on: On::Postgres,
        rows_at_once: 500,
    },
];

/// The table of apps' versions.
pub(super) const DEPLOYMENTS: &str = "deployments";

/// The table of operators' tokens, which a restore leaves empty unless it is to revive what was ended.
pub(super) const OPERATOR_TOKENS: &str = "operator_tokens";

/// What is in no backup, and why.
#[cfg(test)]
pub(super) const LEFT_OUT: &[(&str, &str)] = &[
    ("_sqlx_migrations", "the store that is restored into has been migrated by itself"),
    ("compatibility", "it speaks of the schema, which the store that is restored into has"),
    ("replicas", "a lease is of the moment, and a replica makes its row anew"),
    ("revision", "the header has it, and a restored store gives it a name of its own"),
];

impl Table {
    pub(super) fn find(name: &str) -> Option<(usize, &'static Self)> {
        TABLES.iter().enumerate().find(|(_, table)| table.name == name)
    }

    pub(super) fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use keys::{MasterKey, MasterKeys, SysRng, SystemClock};
    use pg_harness::Cluster;

    use super::*;
    use crate::{DatabaseAddress, PostgresSettings, Store};

    /// Name, type, whether it may be null, and its place in the primary key (from 1; else 0), of each column.
    type Schema = BTreeMap<String, Vec<(String, String, bool, i64)>>;

    async fn embedded() -> Schema {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), masters(), Arc::new(SystemClock)).await.unwrap();
        schema(
            &store,
            "SELECT m.name, c.name, c.type, c.\"notnull\", c.pk FROM sqlite_master m \
             JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'",
        )
        .await
    }

    async fn postgres() -> Schema {
        let database = Cluster::shared().database();
        let settings = PostgresSettings::new(DatabaseAddress::parse(&database.url()).unwrap());
        let clock = Arc::new(SystemClock);
        let store = Store::connect_without_folder(&settings, masters(), clock).await.unwrap();
        schema(
            &store,
            "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL)::text, \
             CASE WHEN a.attnotnull THEN 1::bigint ELSE 0::bigint END, \
             coalesce(array_position(i.indkey::int2[], a.attnum)::bigint + 1, 0::bigint) \
             FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
             AND NOT a.attisdropped LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary \
             WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace",
        )
        .await
    }

    fn masters() -> Arc<MasterKeys> {
        Arc::new(MasterKeys::new(MasterKey::generate(&mut SysRng).unwrap(), []))
    }

    async fn schema(store: &Store, question: &'static str) -> Schema {
        let rows: Vec<(String, String, String, i64, i64)> =
            sqlx::query_as(question).fetch_all(&store.pool).await.unwrap();
        let mut schema = Schema::new();
        for (table, column, kind, is_not_null, key) in rows {
            schema.entry(table).or_default().push((column, kind, is_not_null == 0, key));
        }
        schema
    }

    /// Whoever adds a table or a column has to say whether it is backed up.
    fn check(schema: &Schema, is_embedded: bool) {
        let expected = TABLES.iter().filter(|table| !is_embedded || table.on == On::Both);
        for table in expected.clone() {
            let there = schema.get(table.name).unwrap_or_else(|| panic!("no table {}", table.name));
            let there: BTreeMap<&str, _> = there
                .iter()
                .map(|(name, kind, null, key)| (&**name, (&**kind, *null, *key)))
                .collect();
            let names: BTreeSet<&str> = there.keys().copied().collect();
            let listed: BTreeSet<&str> = table.columns.iter().map(|column| column.name).collect();
            assert_eq!(
                names, listed,
                "of {}: list it in TABLES, so that it is backed up",
                table.name
            );
            for (index, column) in table.columns.iter().enumerate() {
                let (kind, is_nullable, key) = there[column.name];
                let expected = match column.kind {
                    Kind::Integer => "bigint",
                    Kind::Text => "text",
                    Kind::Bytes if is_embedded => "blob",
                    Kind::Bytes => "bytea",
                };
                let what = format!("{}.{}", table.name, column.name);
                assert_eq!(kind.to_ascii_lowercase(), expected, "{what}");
                assert_eq!(is_nullable, column.is_nullable, "{what}");
                let place = if index < table.key { i64::try_from(index).unwrap() + 1 } else { 0 };
                assert_eq!(key, place, "the place of {what} in the primary key");
            }
        }
        let expected: BTreeSet<&str> = expected.map(|table| table.name).collect();
        let left_out: BTreeSet<&str> = LEFT_OUT.iter().map(|(name, _)| *name).collect();
        for name in schema.keys().map(String::as_str) {
            assert!(
                expected.contains(name) != left_out.contains(name),
                "{name}: list it in TABLES, so that it is backed up, or in LEFT_OUT with the reason"
            );
        }
    }

    #[tokio::test]
    async fn every_table_and_column_of_the_embedded_store_is_backed_up_or_left_out_for_a_reason() {
        check(&embedded().await, true);
    }

    #[tokio::test]
    async fn every_table_and_column_on_postgresql_is_backed_up_or_left_out_for_a_reason() {
        let schema = postgres().await;
        check(&schema, false);
        for (name, _) in LEFT_OUT {
            assert!(
                schema.contains_key(*name),
                "there is no {name} any more: take it off LEFT_OUT"
            );
        }
    }

    #[test]
    fn a_table_comes_after_those_that_it_refers_to() {
        for (index, table) in TABLES.iter().enumerate() {
            for (columns, to) in table.references {
                let (place, to) = Table::find(to).unwrap();
                assert!(place < index, "{} refers to {}", table.name, to.name);
                let kinds = columns.iter().map(|name| table.column(name).unwrap().kind);
                assert!(kinds.eq(to.columns[..to.key].iter().map(|column| column.kind)));
            }
        }
    }
}
