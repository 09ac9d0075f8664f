//! An allocator that counts, for the thread that measures.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::{AddAssign, Sub};

#[global_allocator]
static ALLOCATOR: Counter = Counter;

struct Counter;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
    static FREED: Cell<usize> = const { Cell::new(0) };
}

fn allocated(bytes: usize) {
    COUNT.with(|c| c.set(c.get() + 1));
    BYTES.with(|b| b.set(b.get() + bytes));
}

fn freed(bytes: usize) {
    FREED.with(|f| f.set(f.get() + bytes));
}

unsafe impl GlobalAlloc for Counter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        allocated(layout.size());
        System.alloc(layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        allocated(layout.size());
        System.alloc_zeroed(layout)
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        allocated(size);
        freed(layout.size());
        System.realloc(at, layout, size)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        freed(layout.size());
        System.dealloc(at, layout)
    }
}

/// Allocations and their bytes.
#[derive(Clone, Copy, Default)]
pub struct Allocations {
    pub count: usize,
    pub bytes: usize,
}

impl Allocations {
    pub fn now() -> Self {
        Allocations { count: COUNT.with(Cell::get), bytes: BYTES.with(Cell::get) }
    }
}

impl Sub for Allocations {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        Allocations { count: self.count - o.count, bytes: self.bytes - o.bytes }
    }
}

impl AddAssign for Allocations {
    fn add_assign(&mut self, o: Self) {
        self.count += o.count;
        self.bytes += o.bytes;
    }
}

/// The bytes that are allocated and not freed, by C too where glibc tells.
pub fn live() -> usize {
    glibc_live().unwrap_or_else(|| BYTES.with(Cell::get) - FREED.with(Cell::get))
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn glibc_live() -> Option<usize> {
    /// mallinfo(3).
    #[repr(C)]
    struct Mallinfo2 {
        before: [usize; 7],
        uordblks: usize, // in use
        after: [usize; 2],
    }
    extern "C" {
        fn mallinfo2() -> Mallinfo2;
    }
    Some(unsafe { mallinfo2() }.uordblks)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn glibc_live() -> Option<usize> {
    None
}
