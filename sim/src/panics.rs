//! Panics inside a run: caught, kept quiet, and reported as findings with their message.
//!
//! A run's thread says so; every other thread panics as usual.

use std::cell::{Cell, RefCell};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

static HOOK: Once = Once::new();

/// From now on, panics on this thread are kept for [`take`] instead of printed.
pub fn keep_quiet() {
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if QUIET.get() {
                LAST.set(info.to_string().replace('\n', " "));
            } else {
                usual(info);
            }
        }));
    });
    QUIET.set(true);
}

/// The message of the last panic on this thread.
pub fn take() -> String {
    LAST.take()
}
