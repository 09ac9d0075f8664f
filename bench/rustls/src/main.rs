//! What rustls' unbuffered API takes for handshakes and records, measured on demand.
//!
//! The argument is a directory with root.der and, for each key type, KEY.leaf.der,
//! KEY.intermediate.der and KEY.key.der (PKCS #8). Each line of standard input is one
//! measurement, WORK VERSION KEY GROUP SUITE SIZE N, and each is answered by a line:
//! nanoseconds of the client and of the server, allocations and bytes, all of N times the
//! work. An idle connection is answered by the bytes that N clients and N servers hold.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::sync::Arc;

use clock::Clock;
use rustls::client::{ClientConnectionData, Resumption, UnbufferedClientConnection};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group, Ticketer};
use rustls::crypto::SupportedKxGroup;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, ServerConfig, SupportedCipherSuite};

mod clock;
mod counter;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What a client sends as early data, in bytes.
const EARLY_DATA: usize = 1024;

/// How much plaintext is sealed ahead to be opened, in bytes.
const BATCH: usize = 256 << 10;

fn main() -> Outcome<()> {
    let directory = std::env::args().nth(1).ok_or("which directory has the certificates?")?;
    let mut fixtures = HashMap::new();
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        match answer(&directory, &mut fixtures, &line?) {
            Ok(a) => writeln!(out, "{a}")?,
            Err(e) => writeln!(out, "error: {e}")?,
        }
        out.flush()?;
    }
    Ok(())
}

fn answer(directory: &str, fixtures: &mut HashMap<String, Fixture>, line: &str) -> Outcome<String> {
    let (what, n) = line.rsplit_once(' ').ok_or("not a request")?;
    let n: usize = n.parse()?;
    let words: Vec<&str> = what.split(' ').collect();
    let [work, version, key, group, suite, size] = words[..] else {
        return Err("not a request".into());
    };
    if !fixtures.contains_key(what) {
        fixtures.insert(what.to_string(), Fixture::new(directory, work, version, key, group, suite)?);
    }
    let fixture = &fixtures[what];
    let mut clock = Clock::default();
    match work {
        "full" | "resumed" | "early" => fixture.handshakes(work, n, &mut clock)?,
        "seal" => fixture.seal(size.parse()?, n, &mut clock)?,
        "open" => fixture.open(size.parse()?, n, &mut clock)?,
        "idle" => {
            let (client, server) = fixture.idle(n)?;
            return Ok(format!("{client} {server} 0 0"));
        }
        _ => return Err("unknown work".into()),
    }
    let (client, server) = clock.sides();
    Ok(format!("{client} {server} {} {}", clock.allocations.count, clock.allocations.bytes))
}

/// The configurations of a kind of work.
struct Fixture {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Fixture {
    fn new(directory: &str, work: &str, version: &str, key: &str, group: &str, suite: &str) -> Outcome<Self> {
        let read = |name: String| std::fs::read(format!("{directory}/{name}"));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(read("root.der".into())?))?;
        let chain = vec![
            CertificateDer::from(read(format!("{key}.leaf.der"))?),
            CertificateDer::from(read(format!("{key}.intermediate.der"))?),
        ];
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(read(format!("{key}.key.der"))?));

        let mut provider = default_provider();
        provider.kx_groups = vec![group_of(group)?];
        provider.cipher_suites = suites_of(version, suite)?;
        let provider = Arc::new(provider);
        let versions: &[&rustls::SupportedProtocolVersion] = match version {
            "1.2" => &[&rustls::version::TLS12],
            "1.3" => &[&rustls::version::TLS13],
            _ => return Err("unknown version".into()),
        };
        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_single_cert(chain, private)?;
        server.send_tls13_tickets = 1;
        match work {
            "resumed" => server.ticketer = Ticketer::new()?,
            "early" => {
                client.enable_early_data = true;
                server.max_early_data_size = 1 << 14;
            }
            _ => {
                client.resumption = Resumption::disabled();
                server.session_storage = Arc::new(NoServerSessionStorage {});
                server.send_tls13_tickets = 0;
            }
        }
        let fixture = Fixture { client: Arc::new(client), server: Arc::new(server) };
        if work == "resumed" || work == "early" {
            Pair::default().connect(&fixture, 0, &mut Clock::default())?; // brings the first ticket
        }
        Ok(fixture)
    }

    fn handshakes(&self, work: &str, n: usize, clock: &mut Clock) -> Outcome<()> {
        let mut pair = Pair::default();
        clock.start();
        for _ in 0..n {
            let early = if work == "early" { EARLY_DATA } else { 0 };
            pair.connect(self, early, clock)?;
            if work != "full" {
                pair.pass_a_byte(clock)?;
            }
            let want = if work == "full" { HandshakeKind::Full } else { HandshakeKind::Resumed };
            if pair.client_kind() != Some(want) {
                return Err(format!("the handshake is {:?}", pair.client_kind()).into());
            }
            if pair.server_io.early != early {
                return Err(format!("{} bytes of early data have come", pair.server_io.early).into());
            }
        }
        clock.stop();
        Ok(())
    }

    fn seal(&self, size: usize, n: usize, clock: &mut Clock) -> Outcome<()> {
        let mut pair = Pair::default();
        pair.connect(self, 0, &mut Clock::default())?;
        let data = vec![0; size];
        let mut out = vec![0; size + 256];
        let conn = pair.client.as_mut().unwrap();
        match conn.process_tls_records(&mut []).state? {
            ConnectionState::WriteTraffic(mut write) => {
                clock.start();
                for _ in 0..n {
                    write.encrypt(&data, &mut out)?;
                }
                clock.stop();
                Ok(())
            }
            state => Err(format!("an idle connection is in {state:?}").into()),
        }
    }

    fn open(&self, size: usize, n: usize, clock: &mut Clock) -> Outcome<()> {
        let mut pair = Pair::default();
        pair.connect(self, 0, &mut Clock::default())?;
        let data = vec![0; size];
        let mut batch = vec![0; BATCH + BATCH / size * 64];
        let mut left = n;
        while left > 0 {
            let count = left.min(BATCH / size);
            let mut filled = 0;
            match pair.client.as_mut().unwrap().process_tls_records(&mut []).state? {
                ConnectionState::WriteTraffic(mut write) => {
                    for _ in 0..count {
                        filled += write.encrypt(&data, &mut batch[filled..])?;
                    }
                }
                state => return Err(format!("an idle connection is in {state:?}").into()),
            }
            let record = filled / count;
            let conn = pair.server.as_mut().unwrap();
            clock.start();
            for input in batch[..filled].chunks_mut(record) {
                let status = conn.process_tls_records(input);
                match status.state? {
                    ConnectionState::ReadTraffic(mut read) => match read.next_record() {
                        Some(record) if record.as_ref().is_ok_and(|r| r.payload.len() == size) => {}
                        _ => return Err("a record did not open".into()),
                    },
                    state => return Err(format!("a record leads to {state:?}").into()),
                }
                conn.process_tls_records(&mut []).state?;
            }
            clock.stop();
            left -= count;
        }
        Ok(())
    }

    /// The bytes that connections hold.
    fn idle(&self, n: usize) -> Outcome<(usize, usize)> {
        let mut pair = Pair::default();
        let (mut clients, mut servers) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for _ in 0..n {
            pair.connect(self, 0, &mut Clock::default())?;
            clients.push(Box::new(pair.client.take().unwrap()));
            servers.push(Box::new(pair.server.take().unwrap()));
        }
        let both = counter::live();
        clients.clear();
        let only_servers = counter::live();
        servers.clear();
        Ok((both - only_servers, only_servers - counter::live()))
    }
}

/// A client and a server whose buffers are kept.
#[derive(Default)]
struct Pair {
    client: Option<UnbufferedClientConnection>,
    server: Option<UnbufferedServerConnection>,
    client_io: Buffers,
    server_io: Buffers,
}

#[derive(Default)]
struct Buffers {
    input: Vec<u8>,
    output: Vec<u8>,
    received: usize,
    early: usize,
}

impl Pair {
    fn client_kind(&self) -> Option<HandshakeKind> {
        self.client.as_ref().and_then(|c| c.handshake_kind())
    }

    fn connect(&mut self, fixture: &Fixture, early: usize, clock: &mut Clock) -> Outcome<()> {
        for io in [&mut self.client_io, &mut self.server_io] {
            io.input.clear();
            (io.received, io.early) = (0, 0);
        }
        let name = ServerName::try_from("example.com")?;
        let data = vec![0; early];
        clock.client(|| -> Outcome<()> {
            let mut client = UnbufferedClientConnection::new(fixture.client.clone(), name)?;
            run_client(&mut client, &mut self.client_io, &mut self.server_io.input, &data)?;
            self.client = Some(client);
            Ok(())
        })?;
        clock.server(|| -> Outcome<()> {
            let mut server = UnbufferedServerConnection::new(fixture.server.clone())?;
            run_server(&mut server, &mut self.server_io, &mut self.client_io.input)?;
            self.server = Some(server);
            Ok(())
        })?;
        while self.handshaking() {
            if self.client_io.input.is_empty() && self.server_io.input.is_empty() {
                return Err("nobody has anything to say, but the handshake is not complete".into());
            }
            self.turns(clock)?;
        }
        self.run_client(clock) // what the server said last
    }

    fn handshaking(&self) -> bool {
        self.client.as_ref().is_some_and(|c| c.is_handshaking()) || self.server.as_ref().is_some_and(|s| s.is_handshaking())
    }

    fn turns(&mut self, clock: &mut Clock) -> Outcome<()> {
        self.run_client(clock)?;
        let server = self.server.as_mut().unwrap();
        clock.server(|| run_server(server, &mut self.server_io, &mut self.client_io.input))
    }

    fn run_client(&mut self, clock: &mut Clock) -> Outcome<()> {
        let client = self.client.as_mut().unwrap();
        clock.client(|| run_client(client, &mut self.client_io, &mut self.server_io.input, &[]))
    }

    /// Passes a byte from the server to the client, behind the tickets.
    fn pass_a_byte(&mut self, clock: &mut Clock) -> Outcome<()> {
        let server = self.server.as_mut().unwrap();
        let io = &mut self.client_io.input;
        clock.server(|| -> Outcome<()> {
            match server.process_tls_records(&mut []).state? {
                ConnectionState::WriteTraffic(mut write) => {
                    let mut out = [0; 64];
                    let n = write.encrypt(&[0], &mut out)?;
                    io.extend_from_slice(&out[..n]);
                    Ok(())
                }
                state => Err(format!("an idle connection is in {state:?}").into()),
            }
        })?;
        self.run_client(clock)?;
        match self.client_io.received {
            1 => Ok(()),
            n => Err(format!("{n} bytes have come").into()),
        }
    }
}

fn run_client(conn: &mut UnbufferedClientConnection, io: &mut Buffers, peer: &mut Vec<u8>, early: &[u8]) -> Outcome<()> {
    let mut early = early;
    loop {
        let UnbufferedStatus { mut discard, state, .. } = conn.process_tls_records(&mut io.input);
        let state = state?;
        if let ConnectionState::TransmitTlsData(mut transmit) = state {
            if let (false, Some(mut may)) = (early.is_empty(), transmit.may_encrypt_early_data()) {
                let begin = io.output.len();
                io.output.resize(begin + early.len() + 64, 0);
                let n = may.encrypt(early, &mut io.output[begin..]).map_err(|e| format!("{e:?}"))?;
                io.output.truncate(begin + n);
                early = &[];
            }
            peer.append(&mut io.output);
            transmit.done();
            drop_front(&mut io.input, discard);
            continue;
        }
        let quiet = handle::<ClientConnectionData>(state, &mut io.output, peer, &mut io.received, &mut discard)?;
        drop_front(&mut io.input, discard);
        if quiet {
            return Ok(());
        }
    }
}

fn run_server(conn: &mut UnbufferedServerConnection, io: &mut Buffers, peer: &mut Vec<u8>) -> Outcome<()> {
    loop {
        let UnbufferedStatus { mut discard, state, .. } = conn.process_tls_records(&mut io.input);
        let state = state?;
        if let ConnectionState::ReadEarlyData(mut read) = state {
            while let Some(record) = read.next_record() {
                let record = record?;
                io.early += record.payload.len();
                discard += record.discard;
            }
            drop_front(&mut io.input, discard);
            continue;
        }
        let quiet = handle::<ServerConnectionData>(state, &mut io.output, peer, &mut io.received, &mut discard)?;
        drop_front(&mut io.input, discard);
        if quiet {
            return Ok(());
        }
    }
}

/// What both sides do in a state; true if it is a quiet one.
fn handle<D>(
    state: ConnectionState<'_, '_, D>,
    output: &mut Vec<u8>,
    peer: &mut Vec<u8>,
    received: &mut usize,
    discard: &mut usize,
) -> Outcome<bool> {
    match state {
        ConnectionState::EncodeTlsData(mut encode) => {
            let begin = output.len();
            match encode.encode(&mut []) {
                Err(EncodeError::InsufficientSize(size)) => output.resize(begin + size.required_size, 0),
                other => return Err(format!("a record of no size: {other:?}").into()),
            }
            encode.encode(&mut output[begin..]).map_err(|e| format!("{e:?}"))?;
        }
        ConnectionState::TransmitTlsData(transmit) => {
            peer.append(output);
            transmit.done();
        }
        ConnectionState::ReadTraffic(mut read) => {
            while let Some(record) = read.next_record() {
                let record = record?;
                *received += record.payload.len();
                *discard += record.discard;
            }
        }
        ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => return Ok(true),
        state => return Err(format!("unexpected state {state:?}").into()),
    }
    Ok(false)
}

fn drop_front(input: &mut Vec<u8>, n: usize) {
    input.drain(..n);
}

fn group_of(name: &str) -> Outcome<&'static dyn SupportedKxGroup> {
    match name {
        "X25519" => Ok(kx_group::X25519),
        "P-256" => Ok(kx_group::SECP256R1),
        "X25519MLKEM768" => Ok(kx_group::X25519MLKEM768),
        _ => Err(format!("unknown group {name}").into()),
    }
}

/// In TLS 1.2, the suite with either type of key.
fn suites_of(version: &str, name: &str) -> Outcome<Vec<SupportedCipherSuite>> {
    use cipher_suite::*;
    match (version, name) {
        ("1.3", "AES-128-GCM") => Ok(vec![TLS13_AES_128_GCM_SHA256]),
        ("1.3", "AES-256-GCM") => Ok(vec![TLS13_AES_256_GCM_SHA384]),
        ("1.3", "ChaCha20-Poly1305") => Ok(vec![TLS13_CHACHA20_POLY1305_SHA256]),
        ("1.2", "AES-128-GCM") => {
            Ok(vec![TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256])
        }
        ("1.2", "AES-256-GCM") => {
            Ok(vec![TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384])
        }
        ("1.2", "ChaCha20-Poly1305") => Ok(vec![
            TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ]),
        _ => Err(format!("unknown suite {name}").into()),
    }
}
