//! A request as it has come: its head is checked, cleaned once its app is known, and made into what goes to a worker.

use super::accept::Wishes;
use super::arriving::Arriving;
use super::body::{BodyError, ClientBody, ReadAhead, RequestBody, Trailers};
use super::compress;
use super::error::ProxyError;
use super::exchange::Outgoing;
use super::files;
use super::framing::{self, Announced};
use super::hop::{Peer, announced_trailers, ask_for_trailers, takes_trailers};
use super::record::Record;
use super::request::Conversation;
use super::rewrite::{Said, clean, hand_over};
use super::seen::Seen;
use super::snapshot::{App, Snapshot};
use super::spool;
use super::target::{self, Target};
use super::thread::Thread;
use super::told::Told;
use super::trace;
use super::upgrade;
use crate::router::message::Handover;
use crate::router::urlmap::{Matched, RequestTarget};
use http::header::{EXPECT, HOST, TRAILER, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request};
use std::rc::Rc;
use std::sync::Arc;

/// What is asked for, and whom.
pub(super) struct Aim {
    pub(super) target: PathAndQuery,
    pub(super) host: Option<HeaderValue>,
}

impl Aim {
    /// `path` is that of the target, decoded.
    pub(super) fn to_route<'a>(
        &'a self,
        conversation: &'a Conversation,
        path: &'a [u8],
    ) -> RequestTarget<'a> {
        let info = &conversation.info;
        let host = self.host.as_ref().map(HeaderValue::as_bytes);
        RequestTarget {
            host: Some(host.unwrap_or(info.server_name.as_bytes())),
            scheme: &info.scheme,
            path_info: path,
            script_name: b"",
        }
    }
}

/// A request whose head is beyond doubt.
pub(super) struct Incoming {
    pub(super) head: Parts,
    pub(super) wishes: Wishes,
    /// Kept where an answer may name a file.
    pub(super) conditions: Option<Box<HeaderMap>>,
    /// None: it was not announced, or is read already.
    body: Option<ClientBody>,
    announced: Announced,
    seen: Seen,
    /// Names of the trailers that may pass.
    trailers: Option<HeaderValue>,
}

impl Incoming {
    /// None: it asks for the server itself (`OPTIONS *`).
    ///
    /// # Errors
    /// Those of framing, target and Host.
    pub(super) fn check(
        conversation: &Conversation,
        mut request: Request<Arriving>,
        seen: Seen,
        longest: usize,
        record: &mut Record,
    ) -> Result<Option<(Box<Self>, Aim)>, ProxyError> {
        let on_upgrade = match seen.upgrade {
            true => upgrade::wanted(&mut request),
            false => None,
        };
        let (mut head, body) = request.into_parts();
        framing::check(&head.headers, seen)?;
        let target = target::check(
            &head.method,
            &head.uri,
            head.version,
            &mut head.headers,
            longest,
        )?;
        let Target::Path(target) = target else {
            return Ok(None);
        };
        let takes_trailers = seen.te && takes_trailers(&head.headers);
        let announced = Announced::by(seen);
        let body = (announced == Announced::Yes).then(|| {
            let body = ClientBody::new(body, Arc::clone(&conversation.state));
            let account = body.account();
            if head.headers.contains_key(EXPECT) {
                account.sends_when_asked();
            }
            record.receives(account);
            body
        });
        let host = head.headers.get(HOST).cloned();
        let incoming = Box::new(Self {
            head,
            wishes: Wishes {
                on_upgrade,
                trailers: match takes_trailers {
                    true => Trailers::Pass,
                    false => Trailers::Drop,
                },
                codings: None,
            },
            conditions: None,
            body,
            announced,
            seen,
            trailers: None,
        });
        Ok(Some((incoming, Aim { target, host })))
    }

    /// Once, when its app is known: takes from its head what must not pass.
    pub(super) fn clean(
        &mut self,
        conversation: &Conversation,
        table: &Snapshot,
        app: &App,
        record: &mut Record,
    ) -> Said {
        let headers = &mut self.head.headers;
        record.is_for(app);
        let peer = Peer::of(conversation.client.peer, &table.trust);
        // WSGI has none.
        if self.seen.trailer && app.spec.handover != Handover::Environ {
            self.trailers = announced_trailers(headers, peer);
        }
        let said = clean(headers, self.seen, peer, &table.trust, &conversation.client);
        record.comes_from(said.origin);
        if let Some(sampled) = app.spec.traced {
            trace::take_part(headers, sampled);
        }
        record.traced(headers);
        record.has_id(&said.id);
        said
    }

    /// Once, when it is to go to a worker: reads of its body what is to be read before.
    ///
    /// # Errors
    /// The body is too large, late or broken, or there is no room for it.
    pub(super) async fn outgoing(
        &mut self,
        thread: &Rc<Thread>,
        app: &App,
        aim: &Aim,
    ) -> Result<Box<Outgoing>, ProxyError> {
        let body = match self.body.take() {
            None => RequestBody::Empty,
            // Boxed, for the sake of requests that have none.
            Some(body) => Box::pin(self.before_a_worker(thread, app, body)).await?,
        };
        if !app.spec.sendfile.is_empty() {
            self.conditions = Some(Box::new(files::conditions(&self.head.headers)));
        }
        let mut headers = std::mem::take(&mut self.head.headers);
        if !app.answers.compress.codings.is_empty() {
            self.wishes.codings = Some(compress::Client::by(&headers));
        }
        framing::write(&mut headers, body.length(), self.announced);
        if let Some(trailers) = self.trailers.take()
            && headers.contains_key(TRANSFER_ENCODING)
        {
            headers.insert(TRAILER, trailers);
        }
        Ok(Box::new(Outgoing {
            method: self.head.method.clone(),
            target: aim.target.clone(),
            headers,
            told: Told::default(),
            body,
        }))
    }

    /// What of the body is read before a worker is taken: all of it, or what is there.
    async fn before_a_worker(
        &self,
        thread: &Rc<Thread>,
        app: &App,
        mut body: ClientBody,
    ) -> Result<RequestBody, ProxyError> {
        if self.trailers.is_some() {
            body.set_trailers(Trailers::Pass);
        }
        if let Some(most) = app.spec.max_body {
            body.set_limit(most)?;
        }
        let wait = match app.spec.buffering && self.wishes.on_upgrade.is_none() {
            true => ReadAhead::Wait,
            false => ReadAhead::Now,
        };
        let account = body.account();
        let read = async {
            match (wait, body.read_ahead(wait).await?) {
                (ReadAhead::Wait, RequestBody::Stream { first, rest }) if !rest.has_ended() => {
                    let spooled = spool::keep(*rest, first.unwrap_or_default(), thread).await?;
                    Ok(RequestBody::Spooled(Box::new(spooled)))
                }
                (_, read) => Ok::<_, BodyError>(read),
            }
        };
        read.await.map_err(|_| ProxyError::of_body(account.fault()))
    }

    /// Writes into `outgoing` what the workers of `app` are told, whatever others were to be told.
    pub(super) fn tell(
        &self,
        conversation: &Conversation,
        app: &App,
        matched: &Matched<'_, '_>,
        aim: &Aim,
        said: &Said,
        outgoing: &mut Outgoing,
    ) {
        let handover = app.spec.handover;
        let told = &mut outgoing.told;
        outgoing.target = hand_over(
            told,
            handover,
            matched,
            &aim.target,
            aim.host.as_ref(),
            &conversation.client,
            said,
        );
        if self.wishes.trailers == Trailers::Pass && handover != Handover::Environ {
            ask_for_trailers(told);
        }
        if self.wishes.on_upgrade.is_some() {
            upgrade::ask(told);
        }
    }
}
