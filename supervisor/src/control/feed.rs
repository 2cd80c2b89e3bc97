//! What happens, for those who come late and for those who stay: the last items, and new ones as they come.
//!
//! Bounded on every side, and nobody who reads can hold up who writes: a follower that is too slow misses items and is
//! told how many.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// Items that a slow follower may be behind before it misses some.
const BEHIND: usize = 256;

/// The last items, and a tap on those to come. Clones are the same feed.
#[derive(Debug)]
pub struct Feed<T>(Arc<Mutex<Inner<T>>>);

#[derive(Debug)]
struct Inner<T> {
    kept: VecDeque<T>,
    capacity: usize,
    /// How many there ever were.
    pushed: u64,
    /// None once the feed has ended.
    live: Option<broadcast::Sender<T>>,
}

/// What a follower gets: what was kept, oldest first, and after that everything new, without gap or repetition.
#[derive(Debug)]
pub struct Followed<T> {
    pub kept: Vec<T>,
    /// None where nothing new will come.
    pub live: Option<broadcast::Receiver<T>>,
}

impl<T> Clone for Feed<T> {
    fn clone(&self) -> Feed<T> {
        Feed(self.0.clone())
    }
}

impl<T: Clone> Feed<T> {
    /// A feed that keeps the last `capacity` items.
    pub fn new(capacity: usize) -> Feed<T> {
        Feed(Arc::new(Mutex::new(Inner {
            kept: VecDeque::new(),
            capacity,
            pushed: 0,
            live: Some(broadcast::Sender::new(BEHIND)),
        })))
    }

    /// A feed that goes on where another one was: `kept` are its last items, `pushed` how many there ever were.
    pub fn resume(capacity: usize, pushed: u64, kept: Vec<T>) -> Feed<T> {
        let feed = Feed::new(capacity);
        {
            let mut inner = feed.lock();
            inner.pushed = pushed;
            inner.kept = kept.into();
        }
        feed
    }

    /// How many there ever were, and what is kept.
    pub fn state(&self) -> (u64, Vec<T>) {
        let inner = self.lock();
        (inner.pushed, inner.kept.iter().cloned().collect())
    }

    /// Adds what `make` makes of the item's number, counted from 1.
    pub fn push(&self, make: impl FnOnce(u64) -> T) {
        let mut inner = self.lock();
        inner.pushed += 1;
        let item = make(inner.pushed);
        if inner.kept.len() == inner.capacity {
            inner.kept.pop_front();
        }
        inner.kept.push_back(item.clone());
        if let Some(live) = &inner.live {
            // An error only says that nobody follows.
            let _ = live.send(item);
        }
    }

    /// What is kept now, oldest first.
    pub fn kept(&self) -> Vec<T> {
        self.lock().kept.iter().cloned().collect()
    }

    pub fn follow(&self) -> Followed<T> {
        let inner = self.lock();
        Followed {
            kept: inner.kept.iter().cloned().collect(),
            live: inner.live.as_ref().map(broadcast::Sender::subscribe),
        }
    }

    /// Nothing new will come: followers end when they have read what there is.
    pub fn end(&self) {
        self.lock().live = None;
    }

    /// Something new may come after all.
    pub fn begin(&self) {
        self.lock()
            .live
            .get_or_insert_with(|| broadcast::Sender::new(BEHIND));
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::broadcast::error::TryRecvError;

    #[test]
    fn the_last_items_are_kept_and_numbers_go_on() {
        let feed = Feed::new(3);
        (0..10).for_each(|_| feed.push(|number| number));
        assert_eq!(feed.kept(), [8, 9, 10]);
    }

    #[test]
    fn a_follower_gets_what_was_and_what_comes_once() {
        let feed = Feed::new(3);
        (0..2).for_each(|_| feed.push(|number| number));
        let Followed { kept, live } = feed.follow();
        assert_eq!(kept, [1, 2]);
        feed.push(|number| number);
        let mut live = live.expect("it goes on");
        assert_eq!(live.try_recv(), Ok(3));
        assert_eq!(live.try_recv(), Err(TryRecvError::Empty));
        feed.end();
        assert_eq!(live.try_recv(), Err(TryRecvError::Closed));
        assert!(feed.follow().live.is_none());
    }

    #[test]
    fn a_slow_follower_misses_items_and_holds_up_nobody() {
        let feed = Feed::new(3);
        let mut live = feed.follow().live.expect("it goes on");
        let total = BEHIND as u64 + 10;
        (0..total).for_each(|_| feed.push(|number| number));
        assert_eq!(live.try_recv(), Err(TryRecvError::Lagged(10)));
        assert_eq!(live.try_recv(), Ok(11));
    }
}
