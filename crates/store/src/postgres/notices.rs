//! LISTEN and NOTIFY, where the option is on: commits are told to those who wait in other processes. Never inside the
//! transaction, because the server lets those that notify commit only one after the other: afterwards, and once for all
//! that were committed in the meantime. A notice may be lost with its process, so whoever listens also looks now and then.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{AsyncMessage, Client};

use crate::env::Env;
use crate::postgres::connection::Step;
use crate::postgres::failure::Trouble;
use crate::postgres::pool::{Pool, Purpose};
use crate::postgres::sql;
use crate::postgres::wire::text;
use crate::sync::Mutex;

/// How long a notice may wait for a connection, and for its answer.
const TELL_MAX: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Notices {
    channel: String,
    env: Env,
    pool: Weak<Pool>,
    telling: Mutex<Telling>,
}

#[derive(Debug, Default)]
struct Telling {
    is_wanted: bool,
    is_running: bool,
}

impl Notices {
    pub(super) fn new(schema: &str, env: Env, pool: &Arc<Pool>) -> Arc<Self> {
        let (channel, pool) = (schema.to_owned(), Arc::downgrade(pool));
        Arc::new(Self { channel, env, pool, telling: Mutex::new(Telling::default()) })
    }

    /// Something was committed. Does not wait for anything.
    pub(super) fn tell(self: &Arc<Self>) {
        let begins = {
            let mut telling = self.telling.lock();
            telling.is_wanted = true;
            !std::mem::replace(&mut telling.is_running, true)
        };
        if begins {
            let teller = Teller { notices: Arc::clone(self), counts: true };
            self.env.runtime().spawn(Box::pin(async move { teller.run().await }));
        }
    }

    /// Listens until the connection ends. `heard` is called when listening has begun, and with every notice.
    pub(super) async fn listen(&self, heard: impl Fn() + Send + Sync) -> Result<(), Trouble> {
        let Some(pool) = self.pool.upgrade() else { return Ok(()) };
        pool.listen(&sql::server::listen(&self.channel), heard).await
    }
}

/// The task that tells. However it ends, the next commit starts another.
struct Teller {
    notices: Arc<Notices>,
    counts: bool,
}

impl Drop for Teller {
    fn drop(&mut self) {
        if self.counts {
            self.notices.telling.lock().is_running = false;
        }
    }
}

impl Teller {
    async fn run(mut self) {
        while self.is_wanted() {
            let Some(pool) = self.notices.pool.upgrade() else { return };
            let Ok(lease) = pool.get(Purpose::Read, TELL_MAX).await else { continue };
            let steps = vec![Step::Query(sql::server::NOTIFY, vec![text(&self.notices.channel)])];
            if lease.held().connection.run(&self.notices.env, TELL_MAX, steps).await.is_ok() {
                lease.give_back();
            }
        }
    }

    /// Whether anything was committed since the last notice. When nothing was, this task counts no more, from the same
    /// moment on.
    fn is_wanted(&mut self) -> bool {
        let mut telling = self.notices.telling.lock();
        let is_wanted = std::mem::take(&mut telling.is_wanted);
        if !is_wanted {
            telling.is_running = false;
            self.counts = false;
        }
        is_wanted
    }
}

/// Asks a connection to listen, and follows it until it ends.
pub(super) async fn follow<S, T>(
    client: Client,
    mut driver: tokio_postgres::Connection<S, T>,
    listen: &str,
    heard: impl Fn() + Send + Sync,
) -> Result<(), Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut asking = pin!(client.batch_execute(listen));
    let mut is_asked = false;
    let mut step = move |context: &mut Context<'_>| {
        loop {
            if !is_asked && let Poll::Ready(answer) = asking.as_mut().poll(context) {
                is_asked = true;
                match answer {
                    Ok(()) => heard(),
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
            }
            match driver.poll_message(context) {
                Poll::Ready(Some(Ok(AsyncMessage::Notification(_)))) => heard(),
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error.into())),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    };
    poll_fn(move |context| step(context)).await
}
