//! The engine behind its lock, the multicast DNS library, and the threads between them.

use core::future::Future;
use core::net::IpAddr;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Instant;

use mdns_sd::{
    DaemonEvent, IfKind, IfPredicate, RRType, ScopedIp, ServiceDaemon, ServiceEvent, ServiceInfo,
    UnregisterStatus,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::engine::{Action, Engine, Service};
use crate::error::Error;
use crate::interfaces::{self, Local, Selection};
use crate::naming::{self, SERVICE};
use crate::session::Sighting;

/// How often the library looks for new interfaces and addresses, in seconds.
const INTERFACE_CHECK: u32 = 2;

/// Events between the library and our thread. What does not fit waits in the library, which holds
/// 1,000 and then ends the search; it is then begun anew.
const MAX_EVENTS: usize = 64;

/// How long a goodbye may take. It is a few datagrams, so that is plenty.
pub(crate) const GOODBYE: Duration = Duration::from_millis(500);

/// What wakes the thread.
enum Input {
    /// Something was asked for: see what is due.
    Look,
    Service(ServiceEvent),
    Daemon(DaemonEvent),
    /// The library closed the search because we were too slow.
    SearchClosed,
    /// The library has ended.
    DaemonClosed,
}

/// What all handles share.
pub(crate) struct Shared {
    engine: Mutex<Engine>,
    daemon: ServiceDaemon,
    selection: Arc<Selection>,
    inputs: SyncSender<Input>,
}

impl Shared {
    pub(crate) fn start(selection: Selection) -> Result<Arc<Self>, Error> {
        selection.check(&interfaces::list()?)?;
        try_port()?;

        let daemon = ServiceDaemon::new().map_err(|error| Error::Start {
            reason: error.to_string(),
        })?;
        let selection = Arc::new(selection);
        let monitor = (|| {
            let monitor = daemon.monitor()?;
            daemon.disable_interface(IfKind::All)?;
            daemon.enable_interface(predicate(&selection, Selection::takes))?;
            daemon.set_ip_check_interval(INTERFACE_CHECK)?;
            Ok(monitor)
        })()
        .map_err(request)?;

        let (inputs, receiver) = sync_channel(MAX_EVENTS);
        let shared = Arc::new(Self {
            engine: Mutex::default(),
            daemon,
            selection,
            inputs,
        });
        let weak = Arc::downgrade(&shared);
        spawn(move || keep(&weak, &receiver))?;
        let inputs = shared.inputs.clone();
        forward(monitor, inputs, Input::Daemon, Input::DaemonClosed)?;
        Ok(shared)
    }

    /// Locks the engine, does what it asks for afterwards, and wakes the thread and who waits.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Engine) -> T) -> T {
        let mut engine = self.lock();
        let result = work(&mut engine);
        drop(engine);
        // Full means that it is awake.
        let _awake = self.inputs.try_send(Input::Look);
        result
    }

    /// Locks the engine to look at it only.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Engine> {
        // A panic in there is our bug; the value itself stays usable.
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to listen for sessions, unless that has begun already.
    pub(crate) fn listen(&self) -> Result<(), Error> {
        let mut engine = self.lock();
        if engine.ended {
            return Err(Error::Ended);
        }
        if engine.listening_since.is_none() {
            self.search()?;
            engine.listening_since = Some(Instant::now());
        }
        Ok(())
    }

    fn search(&self) -> Result<(), Error> {
        let events = self.daemon.browse(SERVICE).map_err(request)?;
        let inputs = self.inputs.clone();
        forward(events, inputs, Input::Service, Input::SearchClosed)
    }

    fn register(&self, service: &Service) -> Result<(), Error> {
        let families = service.families;
        let mut info = ServiceInfo::new(
            SERVICE,
            &service.name,
            &service.host,
            (),
            service.port,
            None::<std::collections::HashMap<String, String>>,
        )
        .map_err(request)?
        .enable_addr_auto();
        info.set_interfaces(vec![predicate(
            &self.selection,
            move |selection, address, all| {
                families.contain(address.ip) && selection.announces(address, all)
            },
        )]);
        self.daemon.register(info).map_err(request)
    }

    /// Sends the goodbye; what comes back tells when it was sent.
    pub(crate) fn unregister(
        &self,
        service: &Service,
    ) -> Result<mdns_sd::Receiver<UnregisterStatus>, Error> {
        let info = ServiceInfo::new(
            SERVICE,
            &service.name,
            &service.host,
            (),
            0,
            &[][..] as &[(&str, &str)],
        )
        .map_err(request)?;
        self.daemon.unregister(info.get_fullname()).map_err(request)
    }

    /// Wakes `waker` at that time, once.
    fn set_alarm(&self, id: u64, at: Instant, waker: &Waker) {
        self.with(|engine| engine.alarms.insert(id, (at, Some(waker.clone()))));
    }

    fn handle(&self, engine: &mut Engine, input: Input, now: Instant) {
        match input {
            Input::Look => {}
            Input::Service(event) => see(engine, event, now),
            Input::Daemon(event) => hear(engine, event, now),
            Input::SearchClosed => {
                if !engine.ended {
                    tracing::debug!("the search for sessions begins anew");
                    engine.forget();
                    if self.search().is_err() {
                        engine.end();
                    }
                }
            }
            Input::DaemonClosed => engine.end(),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Says goodbye for everything that is still announced.
        if let Ok(done) = self.daemon.shutdown() {
            let _status = done.recv_timeout(GOODBYE);
        }
    }
}

/// A point in time to wait for, with the thread's clock: no runtime is needed.
pub(crate) struct Alarm {
    shared: Arc<Shared>,
    id: u64,
    at: Instant,
}

impl Alarm {
    pub(crate) fn new(shared: &Arc<Shared>, at: Instant) -> Self {
        let id = shared.lock().new_id();
        Self {
            shared: Arc::clone(shared),
            id,
            at,
        }
    }
}

impl Future for Alarm {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at || self.shared.lock().ended {
            return Poll::Ready(());
        }
        self.shared.set_alarm(self.id, self.at, context.waker());
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.shared.lock().alarms.remove(&self.id);
    }
}

/// The thread: takes what the library tells, and does what is due.
fn keep(shared: &Weak<Shared>, inputs: &Receiver<Input>) {
    let mut due = None;
    loop {
        let input = match due {
            None => inputs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => {
                inputs.recv_timeout(Instant::saturating_duration_since(&at, Instant::now()))
            }
        };
        let input = match input {
            Ok(input) => input,
            Err(RecvTimeoutError::Timeout) => Input::Look,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let now = Instant::now();
        let mut engine = shared.lock();
        shared.handle(&mut engine, input, now);
        due = engine.handle_timeout(now);
        for action in engine.take_actions() {
            let done = match &action {
                Action::Register(service) => {
                    tracing::debug!(name = service.name, host = service.host, "announcing");
                    shared.register(service)
                }
                Action::Unregister(service) => {
                    tracing::debug!(name = service.name, "giving the name up");
                    shared.unregister(service).map(drop)
                }
            };
            if let (Err(error), Action::Register(service)) = (done, &action) {
                tracing::warn!(name = service.name, %error, "will announce later");
                engine.not_registered(service.id, now);
                due = engine.handle_timeout(now);
            }
        }
        let wakers = engine.take_wakers();
        drop(engine);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// What the library says about others.
fn see(engine: &mut Engine, event: ServiceEvent, now: Instant) {
    match event {
        ServiceEvent::ServiceFound(_, fullname) => {
            if let Some(name) = naming::instance(&fullname) {
                engine.heard(name);
            }
        }
        ServiceEvent::ServiceResolved(service) => {
            if let Some(name) = naming::instance(&service.fullname) {
                let addresses = service.addresses.iter().filter_map(address).collect();
                let sighting = Sighting {
                    name: name.to_owned(),
                    host: service.host.clone(),
                    port: service.port,
                    addresses,
                };
                engine.seen(sighting, now);
            }
        }
        ServiceEvent::ServiceRemoved(_, fullname) => {
            if let Some(name) = naming::instance(&fullname) {
                engine.removed(name);
            }
        }
        _ => {}
    }
}

/// What the library says about itself.
fn hear(engine: &mut Engine, event: DaemonEvent, now: Instant) {
    match event {
        DaemonEvent::Announce(fullname, _) => {
            if let Some(name) = naming::own_instance(&fullname) {
                engine.announced(&name, now);
            }
        }
        DaemonEvent::NameChange(change) => match change.rr_type {
            RRType::A | RRType::AAAA => engine.host_renamed(&change.original, &change.new_name),
            _ => {
                if let Some(name) = naming::own_instance(&change.original) {
                    engine.name_refused(&name, now);
                }
            }
        },
        DaemonEvent::IpAdd(_) | DaemonEvent::IpDel(_) => engine.interfaces_changed(now),
        DaemonEvent::Error(error) => tracing::debug!(%error, "multicast DNS"),
        _ => {}
    }
}

fn address(scoped: &ScopedIp) -> Option<(IpAddr, u32)> {
    match scoped {
        ScopedIp::V4(v4) => Some((IpAddr::V4(*v4.addr()), 0)),
        ScopedIp::V6(v6) => Some((IpAddr::V6(*v6.addr()), v6.scope_id().index)),
        _ => None,
    }
}

/// A rule for the library, which asks about one address at a time.
fn predicate(
    selection: &Arc<Selection>,
    rule: impl Fn(&Selection, &Local, &[Local]) -> bool + Send + Sync + 'static,
) -> IfKind {
    let selection = Arc::clone(selection);
    IfKind::Predicate(IfPredicate::new(move |interface| {
        let address = Local::new(interface);
        // If they cannot be listed now, they could be when we began.
        let all = interfaces::list().unwrap_or_else(|_| vec![address.clone()]);
        rule(&selection, &address, &all)
    }))
}

/// Whether the port of multicast DNS can be shared. The library would go on without a socket.
fn try_port() -> Result<(), Error> {
    let bind = |address: SocketAddr| {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
        let _older_kernels_lack_it = socket.set_reuse_port(true);
        socket.bind(&address.into())
    };
    // A machine may lack one of the families.
    bind((Ipv4Addr::UNSPECIFIED, mdns_sd::MDNS_PORT).into())
        .or_else(|error| {
            bind((Ipv6Addr::UNSPECIFIED, mdns_sd::MDNS_PORT).into()).map_err(|_| error)
        })
        .map_err(|source| Error::PortTaken { source })
}

fn forward<T: Send + 'static>(
    events: mdns_sd::Receiver<T>,
    inputs: SyncSender<Input>,
    input: fn(T) -> Input,
    end: Input,
) -> Result<(), Error> {
    spawn(move || {
        while let Ok(event) = events.recv() {
            if inputs.send(input(event)).is_err() {
                return;
            }
        }
        let _nobody_left = inputs.send(end);
    })
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let thread = thread::Builder::new().name("netmidi-discovery".to_owned());
    thread.spawn(work).map(drop).map_err(|error| Error::Start {
        reason: error.to_string(),
    })
}

fn request(error: mdns_sd::Error) -> Error {
    match error {
        mdns_sd::Error::DaemonShutdown => Error::Ended,
        error => Error::Request {
            reason: error.to_string(),
        },
    }
}
