//! One connection: statements go out together, without waiting for the answers in between, and each answer is told.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row, Statement};

use crate::env::Env;
use crate::postgres::failure::Trouble;
use crate::postgres::sql;
use crate::postgres::wire::Param;
use crate::sync::{Mutex, within};

/// The statements of a schema: each text with the schema's name put in, once.
#[derive(Debug)]
pub(super) struct Texts {
    quoted: String,
    known: Mutex<HashMap<&'static str, Arc<str>>>,
}

impl Texts {
    pub(super) fn new(schema: &str) -> Self {
        Self { quoted: sql::quoted(schema), known: Mutex::new(HashMap::new()) }
    }

    pub(super) fn get(&self, statement: &'static str) -> Arc<str> {
        let mut known = self.known.lock();
        let text = known.entry(statement).or_insert_with(|| sql::of_schema(statement, &self.quoted).into());
        Arc::clone(text)
    }
}

/// Something to be sent.
pub(super) enum Step {
    /// A text without parameters, of which no rows are wanted.
    Plain(Arc<str>),
    /// A statement of `sql` and its parameters.
    Query(&'static str, Vec<Param>),
}

impl Step {
    /// A text without parameters that holds for every schema.
    pub(super) fn plain(text: &str) -> Self {
        Self::Plain(text.into())
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    client: Client,
    texts: Arc<Texts>,
    /// Prepared statements by their text; none where the connection is not one session of the server.
    prepared: Option<Mutex<HashMap<&'static str, Statement>>>,
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// All answers, in order. Each future sends when it is first polled, so all have sent before any is waited for; all are
/// polled whenever one may go on, because an answer that nobody takes holds up those behind it.
async fn joined<T>(mut waiting: Vec<Answer<'_, T>>) -> Vec<Result<T, Error>> {
    let mut told: Vec<Option<Result<T, Error>>> = waiting.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut is_over = true;
        for (future, answer) in waiting.iter_mut().zip(&mut told) {
            if answer.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(ended) => *answer = Some(ended),
                    Poll::Pending => is_over = false,
                }
            }
        }
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    told.into_iter().flatten().collect()
}

impl Connection {
    pub(super) fn new(client: Client, texts: Arc<Texts>, is_session: bool) -> Self {
        let prepared = is_session.then(|| Mutex::new(HashMap::new()));
        Self { client, texts, prepared }
    }

    /// Whether the connection is known to be gone.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Sends all steps at once and waits for all answers, at most so long.
    ///
    /// # Errors
    /// What the first step that failed was answered, or that the server said nothing: then all may have been taken.
    pub(super) async fn run(
        &self,
        env: &Env,
        limit: Duration,
        steps: Vec<Step>,
    ) -> Result<Vec<Vec<Row>>, Trouble> {
        let silent = Trouble::Silent { waited: limit };
        within(env, limit, self.run_unbounded(steps)).await.unwrap_or(Err(silent))
    }

    async fn run_unbounded(&self, steps: Vec<Step>) -> Result<Vec<Vec<Row>>, Trouble> {
        self.prepare(&steps).await?;
        let sent = steps.iter().map(|step| self.send(step)).collect();
        Ok(joined(sent).await.into_iter().collect::<Result<_, _>>()?)
    }

    /// Prepares what is not yet: once for the life of the connection.
    async fn prepare(&self, steps: &[Step]) -> Result<(), Trouble> {
        let Some(prepared) = &self.prepared else { return Ok(()) };
        let mut missing: Vec<(&'static str, Vec<Type>)> = Vec::new();
        for step in steps {
            if let Step::Query(sql, params) = step
                && !prepared.lock().contains_key(sql)
                && !missing.iter().any(|(other, _)| other == sql)
            {
                missing.push((sql, params.iter().map(|(_, of)| of.clone()).collect()));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let preparing: Vec<Answer<'_, Statement>> = missing
            .iter()
            .map(|(sql, types)| -> Answer<'_, Statement> {
                let text = self.texts.get(sql);
                Box::pin(async move { self.client.prepare_typed(&text, types).await })
            })
            .collect();
        for ((sql, _), answer) in missing.iter().zip(joined(preparing).await) {
            prepared.lock().insert(sql, answer?);
        }
        Ok(())
    }

    fn send<'a>(&'a self, step: &'a Step) -> Answer<'a, Vec<Row>> {
        match step {
            Step::Plain(text) => {
                Box::pin(async move { self.client.batch_execute(text).await.map(|()| Vec::new()) })
            }
            Step::Query(sql, params) => {
                let statement = self.prepared.as_ref().and_then(|known| known.lock().get(sql).cloned());
                Box::pin(async move {
                    if let Some(statement) = statement {
                        let params: Vec<&(dyn ToSql + Sync)> =
                            params.iter().map(|(value, _)| &**value as &(dyn ToSql + Sync)).collect();
                        self.client.query(&statement, &params).await
                    } else {
                        let params: Vec<(&(dyn ToSql + Sync), Type)> = params
                            .iter()
                            .map(|(value, of)| (&**value as &(dyn ToSql + Sync), of.clone()))
                            .collect();
                        self.client.query_typed(&self.texts.get(sql), &params).await
                    }
                })
            }
        }
    }

    /// A text of `sql` with the schema's name put in, as a step.
    pub(super) fn of_schema(&self, statement: &'static str) -> Step {
        Step::Plain(self.texts.get(statement))
    }
}
