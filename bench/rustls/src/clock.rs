//! What work takes: time on a processor, as far as the system tells, and allocations.

use std::time::{Duration, Instant};

use crate::counter::Allocations;

/// Adds up what happens from start to stop.
#[derive(Default)]
pub struct Clock {
    spent: Duration,
    pub allocations: Allocations,
    /// The shares of the sides, by the clock on the wall.
    client: Duration,
    server: Duration,

    begun: Duration,
    before: Allocations,
}

impl Clock {
    pub fn start(&mut self) {
        self.before = Allocations::now();
        self.begun = thread_time();
    }

    pub fn stop(&mut self) {
        self.spent += thread_time().saturating_sub(self.begun + cost());
        self.allocations += Allocations::now() - self.before;
    }

    pub fn client<T>(&mut self, f: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = f();
        self.client += begun.elapsed();
        result
    }

    pub fn server<T>(&mut self, f: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = f();
        self.server += begun.elapsed();
        result
    }

    /// The nanoseconds of the client and of the server. Without shares it is all the client's.
    pub fn sides(&self) -> (u128, u128) {
        let (spent, client, server) = (self.spent.as_nanos(), self.client.as_nanos(), self.server.as_nanos());
        let part = (spent * server).checked_div(client + server).unwrap_or(0);
        (spent - part, part)
    }
}

/// What it takes to ask for the time.
fn cost() -> Duration {
    static COST: std::sync::OnceLock<Duration> = std::sync::OnceLock::new();
    *COST.get_or_init(|| {
        let mut asked: Vec<Duration> = (0..101)
            .map(|_| {
                let begun = thread_time();
                thread_time() - begun
            })
            .collect();
        asked.sort();
        asked[asked.len() / 2]
    })
}

#[cfg(target_os = "linux")]
fn thread_time() -> Duration {
    #[repr(C)]
    struct Timespec {
        seconds: std::ffi::c_long,
        nanoseconds: std::ffi::c_long,
    }
    extern "C" {
        fn clock_gettime(clock: std::ffi::c_int, time: *mut Timespec) -> std::ffi::c_int;
    }
    const THREAD_CPUTIME: std::ffi::c_int = 3;
    let mut t = Timespec { seconds: 0, nanoseconds: 0 };
    let failed = unsafe { clock_gettime(THREAD_CPUTIME, &mut t) };
    assert_eq!(failed, 0, "the clock of the thread");
    Duration::new(t.seconds as u64, t.nanoseconds as u32)
}

#[cfg(not(target_os = "linux"))]
fn thread_time() -> Duration {
    static BEGUN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    BEGUN.get_or_init(Instant::now).elapsed()
}
