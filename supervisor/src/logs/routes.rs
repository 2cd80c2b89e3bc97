//! Where the lines of apps go: which sink each stream has, and what happens when a daemon is not there.

use super::outlet::Daemon;
use super::sink::{Divert, Feed, Place, Sink};
use super::source::Stream;
use super::{App, Shared, State};
use crate::plan::spec::{LogSettings, LogTo, Rotation};
use std::collections::HashSet;
use std::sync::Arc;

impl Shared {
    /// Connects an app with its sinks.
    pub(super) fn route(&self, state: &mut State, name: &str) {
        let Some(App {
            log,
            settings: Some(settings),
            ..
        }) = state.apps.get(name)
        else {
            return;
        };
        let (log, settings) = (log.clone(), settings.clone());
        let sinks = Stream::BOTH.map(|stream| {
            let mut place = place(name, &settings, stream)?;
            if state.diverted.contains(&place) {
                place = Place::Standard(stream);
            }
            Some(self.sink(state, &place, &settings.rotation))
        });
        let feed = |sink: Arc<Sink>| Feed::new(log.clone(), settings.format, sink);
        let feeds = match sinks {
            [Some(stdout), Some(stderr)] if Arc::ptr_eq(&stdout, &stderr) => {
                let both = feed(stdout);
                [Some(both.clone()), Some(both)]
            }
            sinks => sinks.map(|sink| sink.map(feed)),
        };
        log.set_feeds(&feeds);
        if let Some(app) = state.apps.get_mut(name) {
            app.feeds = feeds;
        }
    }

    fn sink(&self, state: &mut State, place: &Place, rotation: &Rotation) -> Arc<Sink> {
        if let Place::Standard(stream) = place {
            return self.standard[stream.index()].clone();
        }
        let State {
            sinks, inherited, ..
        } = state;
        let sink = sinks.entry(place.clone()).or_insert_with(|| {
            let sink = Sink::new(place, inherited.remove(place), self.standard[0].shared());
            // Where there is something inherited.
            sink.resume();
            sink
        });
        sink.set_rotation(rotation);
        sink.clone()
    }

    /// A daemon is not there, or is there again: its lines go another way.
    pub(super) fn divert(&self, place: &Place, divert: Divert) {
        let mut state = self.state();
        let changed = match divert {
            Divert::Away => state.diverted.insert(place.clone()),
            Divert::Back => state.diverted.remove(place),
        };
        if !changed {
            return;
        }
        let concerned = |(name, app): (&String, &App)| {
            let settings = app.settings.as_ref()?;
            let goes_there = self::place(name, settings, Stream::Stdout).as_ref() == Some(place);
            goes_there.then(|| name.clone())
        };
        let names: Vec<String> = state.apps.iter().filter_map(concerned).collect();
        for name in names {
            self.route(&mut state, &name);
        }
    }
}

/// Where a stream goes; none for nowhere.
pub(super) fn place(app: &str, settings: &LogSettings, stream: Stream) -> Option<Place> {
    match &settings.to {
        LogTo::Off => None,
        LogTo::Inherit => Some(Place::Standard(stream)),
        LogTo::Journald(socket) => Some(Place::Daemon(Daemon::Journald, socket.clone())),
        LogTo::Syslog(socket) => Some(Place::Daemon(Daemon::Syslog, socket.clone())),
        LogTo::File(template) => Some(Place::File(template.path(app, stream.name()))),
    }
}

/// Lets go of sinks to which no app is configured.
pub(super) fn abandon_unused(state: &mut State) {
    let places = |(name, app): (&String, &App)| {
        let place = |stream| place(name, app.settings.as_ref()?, stream);
        Stream::BOTH.map(place)
    };
    let used: HashSet<Place> = state.apps.iter().flat_map(places).flatten().collect();
    state.diverted.retain(|place| used.contains(place));
    state.sinks.retain(|place, sink| {
        let keep = used.contains(place);
        if !keep {
            sink.abandon();
        }
        keep
    });
}
