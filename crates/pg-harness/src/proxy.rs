use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Database;

/// How soon what waits notices that it no longer has to.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Stands between clients and a server: passes messages of PostgreSQL's protocol on one by one, and goes
/// wrong at the one it was told.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    state: Arc<Mutex<State>>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Every connection is cut; the next one is taken as before.
    Cut,
    /// Every connection is cut, and none is taken until [`Proxy::mend`].
    Down,
    /// Nothing is passed on until [`Proxy::mend`], and nobody told: a network that has lost its way.
    Swallow,
}

/// By how much messages come late, in a network that is slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// Each question of a client.
    pub there: Duration,
    /// Each answer, and what the server says by itself.
    pub back: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// Messages passed on in either direction, since the proxy was armed.
    passed: usize,
    /// What happens when that many were passed on.
    armed: Option<(usize, Fault)>,
    down: bool,
    swallows: bool,
    delays: Delays,
    ended: bool,
    open: Vec<(TcpStream, UnixStream)>,
}

impl Proxy {
    /// Listens on a free port of the loopback interface, and passes everything on.
    ///
    /// # Panics
    /// Where no port is free.
    #[must_use]
    pub fn to(database: &Database<'_>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = database.url_at(listener.local_addr().unwrap().port());
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, socket) = (Arc::clone(&state), database.socket());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if lock(&shared).ended {
                    return;
                }
                // Refused or ended by either side: it is the client that has to notice.
                drop(serve(client, socket.clone(), &shared));
            }
        });
        Self { url, state }
    }

    /// Where clients reach the database through this.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets message `number` from now on, in either direction, be the first that is not passed on. 0 is
    /// the next one.
    pub fn arm(&self, number: usize, fault: Fault) {
        let mut state = lock(&self.state);
        (state.passed, state.armed) = (0, Some((number, fault)));
    }

    /// Passes everything on from here on, and says whether it had come to what it was armed with.
    pub fn mend(&self) -> bool {
        let mut state = lock(&self.state);
        let happened = state.armed.is_some_and(|(at, _)| state.passed > at);
        state.armed = None;
        if std::mem::take(&mut state.swallows) {
            state.cut();
        }
        state.down = false;
        happened
    }

    /// Lets messages come late from now on, or no longer: what waits is passed on when it would be by the
    /// delays that hold then.
    pub fn slow(&self, delays: Delays) {
        lock(&self.state).delays = delays;
    }

    /// Cuts every connection now.
    pub fn cut(&self) {
        lock(&self.state).cut();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.ended = true;
        state.down = true;
        state.cut();
        drop(state);
        // Wakes the thread that accepts, so that it ends.
        let port = self.url.rsplit(':').next().and_then(|rest| rest.split('/').next());
        if let Some(Ok(port)) = port.map(str::parse::<u16>) {
            drop(TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
        }
    }
}

impl State {
    fn cut(&mut self) {
        for (client, server) in self.open.drain(..) {
            // Either may have been shut down already.
            drop(client.shutdown(Shutdown::Both));
            drop(server.shutdown(Shutdown::Both));
        }
    }

    /// Counts a message; says whether it is passed on.
    fn passes(&mut self) -> bool {
        if self.down || self.swallows {
            return false;
        }
        if let Some((_, fault)) = self.armed.filter(|(at, _)| *at == self.passed) {
            // Come to once: what follows has a higher number.
            self.passed += 1;
            match fault {
                Fault::Swallow => self.swallows = true,
                Fault::Cut | Fault::Down => {
                    self.down = fault == Fault::Down;
                    self.cut();
                }
            }
            return false;
        }
        self.passed += 1;
        true
    }
}

fn serve(client: TcpStream, socket: PathBuf, state: &Arc<Mutex<State>>) -> io::Result<()> {
    if lock(state).down {
        return client.shutdown(Shutdown::Both);
    }
    client.set_nodelay(true)?;
    let server = UnixStream::connect(socket)?;
    lock(state).open.push((client.try_clone()?, server.try_clone()?));
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let (mut from_server, mut to_client) = (server, client);
    let (there, back) = (Arc::clone(state), Arc::clone(state));
    thread::spawn(move || {
        // The first message of a client has no type before its length.
        let mut typed = false;
        while let Ok(message) = read_message(&mut from_client, typed) {
            // One for each question: what else there is goes with it.
            if !typed || matches!(message.first(), Some(b'S' | b'Q')) {
                linger(&there, |delays| delays.there);
            }
            typed = true;
            if lock(&there).passes() && to_server.write_all(&message).is_err() {
                break;
            }
        }
        drop(to_server.shutdown(Shutdown::Both));
        drop(from_client.shutdown(Shutdown::Both));
    });
    thread::spawn(move || {
        let mut begins = true;
        while let Ok(message) = read_message(&mut from_server, true) {
            if begins {
                linger(&back, |delays| delays.back);
            }
            // An answer ends by the word that the server is ready; a notification is one by itself.
            begins = matches!(message.first(), Some(b'Z' | b'A'));
            if lock(&back).passes() && to_client.write_all(&message).is_err() {
                break;
            }
        }
        drop(to_client.shutdown(Shutdown::Both));
    });
    Ok(())
}

/// Waits for as long as it is told, by what it is told in the meantime.
fn linger(state: &Mutex<State>, delay: impl Fn(&Delays) -> Duration) {
    let began = Instant::now();
    loop {
        let left = delay(&lock(state).delays).saturating_sub(began.elapsed());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(LOOK_AGAIN));
    }
}

fn read_message(from: &mut impl io::Read, typed: bool) -> io::Result<Vec<u8>> {
    let head = if typed { 5 } else { 4 };
    let mut message = vec![0; head];
    from.read_exact(&mut message)?;
    let length = message.last_chunk::<4>().map(|length| u32::from_be_bytes(*length));
    let rest = length.unwrap_or_default().saturating_sub(4);
    from.take(u64::from(rest)).read_to_end(&mut message)?;
    Ok(message)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
