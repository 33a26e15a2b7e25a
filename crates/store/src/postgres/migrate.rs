//! From no schema or an older one to this program's, one numbered migration per transaction: a kill at any statement
//! leaves the schema before or the schema after.

use std::time::Duration;

use tokio_postgres::Row;

use crate::env::{Env, Failpoint};
use crate::error::OpenError;
use crate::postgres::connect::not_opened;
use crate::postgres::connection::{Connection, Step};
use crate::postgres::failure::Trouble;
use crate::postgres::options::PostgresOptions;
use crate::postgres::sql::{self, MIGRATIONS};
use crate::postgres::wire::text;

/// How long one migration may take, and one look.
const MIGRATION_MAX: Duration = Duration::from_secs(600);

/// The newest schema version that this program knows.
fn newest() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// A connection on which a schema is looked at and made.
pub(super) struct Migration<'a> {
    pub(super) connection: &'a Connection,
    pub(super) env: &'a Env,
    pub(super) options: &'a PostgresOptions,
}

impl Migration<'_> {
    /// Brings the schema to this program's version, or refuses it.
    pub(super) async fn run(&self) -> Result<(), OpenError> {
        let mut found = self.version().await?;
        if found == newest() {
            return Ok(());
        }
        if !self.options.create {
            let (path, needed) = (self.place().into(), newest());
            return Err(if found == 0 {
                OpenError::NotThere { path }
            } else {
                OpenError::SchemaTooOld { path, found, needed }
            });
        }
        while found < newest() {
            found = self.migrate().await?;
        }
        Ok(())
    }

    /// Where the tables are, for people.
    fn place(&self) -> String {
        format!("schema {} of {}", self.options.schema, self.options.server())
    }

    fn told(&self, trouble: Trouble) -> OpenError {
        not_opened(trouble, self.options)
    }

    async fn ask(&self, steps: Vec<Step>) -> Result<Vec<Vec<Row>>, OpenError> {
        let answers = self.connection.run(self.env, MIGRATION_MAX, steps).await;
        answers.map_err(|trouble| self.told(trouble))
    }

    /// The version of a schema that is ours, or 0 where there is none or an empty one.
    ///
    /// # Errors
    /// One that belongs to something else, or is newer than this program.
    async fn version(&self) -> Result<u32, OpenError> {
        let look = Step::Query(sql::schema::LOOK, vec![text(&self.options.schema)]);
        let answers = self.ask(vec![look]).await?;
        let counts = answers.first().and_then(|rows| rows.first()).map(|row| {
            let count = |column| row.try_get::<_, i64>(column).unwrap_or(0);
            (count(0), count(1), count(2))
        });
        match counts.unwrap_or_default() {
            (0, ..) => return Ok(0),
            (_, 1, 1) => {}
            (tables, ..) => return Err(self.foreign(tables)),
        }
        let answers = self.ask(vec![Step::Query(sql::schema::VERSION, Vec::new())]).await?;
        let found =
            answers.first().and_then(|rows| rows.first()).and_then(|row| row.try_get::<_, i32>(0).ok());
        let found = found.and_then(|found| u32::try_from(found).ok());
        let found = found.ok_or_else(|| self.foreign(1))?;
        if found > newest() {
            let (path, supported) = (self.place().into(), newest());
            return Err(OpenError::SchemaTooNew { path, found, supported });
        }
        Ok(found)
    }

    fn foreign(&self, tables: i64) -> OpenError {
        let schema = self.options.schema.clone();
        OpenError::ForeignSchema {
            server: self.options.server(),
            schema,
            tables: tables.max(0).unsigned_abs(),
        }
    }

    /// Runs the next migration. Another process may be doing the same: the version is looked at again under a lock.
    async fn migrate(&self) -> Result<u32, OpenError> {
        let lock = Step::Query(sql::schema::LOCK, vec![text(&self.options.schema)]);
        self.ask(vec![Step::plain(sql::schema::BEGIN), lock]).await?;
        let from = match self.version().await {
            Ok(from) => from,
            Err(error) => {
                self.roll_back().await;
                return Err(error);
            }
        };
        let Some(migration) = MIGRATIONS.get(from as usize) else {
            self.roll_back().await;
            return Ok(from);
        };
        let to = from + 1;
        let quoted = sql::quoted(&self.options.schema);
        let mut steps = Vec::new();
        if from == 0 {
            steps.push(self.connection.of_schema(sql::schema::CREATE));
        }
        steps.push(self.connection.of_schema(migration));
        steps.push(Step::plain(&sql::of_schema(&sql::schema::set_version(to), &quoted)));
        if let Err(error) = self.ask(steps).await {
            self.roll_back().await;
            return Err(error);
        }
        self.env.reach(Failpoint::MIGRATION_COMMIT_BEFORE);
        self.ask(vec![Step::plain(sql::transaction::COMMIT)]).await?;
        self.env.reach(Failpoint::MIGRATION_COMMIT_AFTER);
        Ok(to)
    }

    /// Whatever becomes of it: the connection is not used any more after an error.
    async fn roll_back(&self) {
        drop(self.ask(vec![Step::plain(sql::transaction::ROLLBACK)]).await);
    }
}
