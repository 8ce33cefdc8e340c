//! A queue that is empty most of the time.

use alloc::boxed::Box;
use alloc::collections::{VecDeque, vec_deque};
use core::iter::Flatten;
use core::option;

/// First in, first out. Eight bytes until something is put into it: a node has several, a host has thousands of nodes,
/// and most of them have nothing to do.
#[derive(Clone, Debug)]
#[allow(clippy::box_collection)] // The box is what makes it small.
pub(crate) struct Queue<T>(Option<Box<VecDeque<T>>>);

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue(None)
    }
}

impl<T> Queue<T> {
    /// Keeps no more room than what is here takes.
    pub(crate) fn let_go_of_room(&mut self) {
        if self.is_empty() {
            self.0 = None;
        } else if let Some(items) = &mut self.0 {
            items.shrink_to_fit();
        }
    }

    #[cfg(test)]
    pub(crate) fn has_room(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |items| items.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.0.as_ref()?.front()
    }

    pub(crate) fn back(&self) -> Option<&T> {
        self.0.as_ref()?.back()
    }

    pub(crate) fn push_back(&mut self, item: T) {
        self.0.get_or_insert_default().push_back(item);
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        self.0.as_mut()?.pop_front()
    }

    /// Takes out the item at a place, counted from the front.
    pub(crate) fn remove(&mut self, at: usize) -> Option<T> {
        self.0.as_mut()?.remove(at)
    }

    pub(crate) fn retain(&mut self, keeps: impl FnMut(&T) -> bool) {
        if let Some(items) = &mut self.0 {
            items.retain(keeps);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    pub(crate) fn iter(&self) -> vec_deque::Iter<'_, T> {
        self.0.as_ref().map_or_else(vec_deque::Iter::default, |items| items.iter())
    }

    pub(crate) fn iter_mut(&mut self) -> vec_deque::IterMut<'_, T> {
        self.0.as_mut().map_or_else(vec_deque::IterMut::default, |items| items.iter_mut())
    }
}

impl<T> Extend<T> for Queue<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        for item in items {
            self.push_back(item);
        }
    }
}

impl<T> IntoIterator for Queue<T> {
    type Item = T;
    type IntoIter = Flatten<option::IntoIter<VecDeque<T>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.map(|items| *items).into_iter().flatten()
    }
}
