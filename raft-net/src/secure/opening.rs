//! Datagrams that arrive: every check, in the order of its price.

use std::net::SocketAddr;

use raft_core::{Boot, Instant, Member};

use super::datagram::{self, Datagram, Welcome};
use super::dropped::Dropped;
use super::handshake::{Local, Responding};
use super::session::{Origin, Session};
use super::{Received, Secure, TRANSMITS_MAX, Transmit};

impl Secure {
    /// Opens a datagram: the payload that it carries, or nothing if it served the session itself.
    ///
    /// # Errors
    /// Why it was dropped. It was counted, and nothing else happened; in particular nobody is answered.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Result<Option<Received<'_>>, Dropped> {
        self.advance(now);
        let result = match datagram::parse(datagram) {
            Ok(Datagram::Initiation { sender, noise }) => {
                self.handle_initiation(from, datagram, sender, noise).map(|()| None)
            }
            Ok(Datagram::Response { sender, receiver, noise }) => {
                self.handle_response(from, datagram, (sender, receiver), noise).map(|()| None)
            }
            Ok(Datagram::Transport { receiver, counter, sealed }) => {
                self.handle_transport(from, (receiver, counter, sealed))
            }
            Err(reason) => Err(reason),
        };
        match result {
            Ok(Some((from, boot, bytes))) => {
                Ok(Some(Received { from, boot, payload: &self.opened[..bytes] }))
            }
            Ok(None) => Ok(None),
            Err(reason) => {
                self.dropped.count(reason);
                Err(reason)
            }
        }
    }

    fn handle_initiation(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        sender: u32,
        noise: &[u8],
    ) -> Result<(), Dropped> {
        let secret = self.secrets.of_handshake(datagram).ok_or(Dropped::BadMac)?;
        if !self.limit.allow(self.now, from) || self.transmits.len() >= TRANSMITS_MAX {
            return Err(Dropped::RateLimited);
        }
        let own = Local { key: &self.config.key, prologue: &self.prologue, psk: secret.psk() };
        let responding = Responding::read(&own, noise, &mut self.randomness)?;
        let place = self.peers.iter().position(|peer| peer.peer.public == responding.key);
        let place = place.ok_or(Dropped::UnknownKey)?;
        let peer = &self.peers[place];
        let hello = responding.hello;
        if hello.from != peer.peer.member || hello.to != self.config.own {
            return Err(Dropped::WrongIdentity);
        }
        if hello.boot < peer.newest.0 {
            return Err(Dropped::OldBoot);
        }
        if (hello.boot, hello.number) <= peer.newest {
            return Err(Dropped::HandshakeReplayed);
        }
        let (mark, key) = (secret.mark(), secret.mac_key_of(&self.config, &responding.key));
        let welcome = Welcome { from: self.config.own, boot: self.config.boot };
        let (transport, answer) = responding.answer(welcome)?;
        let local = self.free_index().ok_or(Dropped::RateLimited)?;
        let origin =
            Origin { local, remote: sender, boot: hello.boot, initiator: false, secret: mark, jitter: 0 };
        let session = Session::new(transport, origin, self.now, &self.config.limits);
        let peer = &mut self.peers[place];
        peer.newest = (hello.boot, hello.number);
        peer.sessions.offer(session);
        peer.note_answered(self.now);
        let datagram = datagram::response(local, sender, &answer, &key);
        self.transmits.push_back(Transmit { address: from, datagram });
        Ok(())
    }

    fn handle_response(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        (sender, receiver): (u32, u32),
        noise: &[u8],
    ) -> Result<(), Dropped> {
        let awaits =
            |peer: &super::PeerState| peer.pending.as_ref().is_some_and(|pending| pending.local == receiver);
        let place = self.peers.iter().position(awaits).ok_or(Dropped::WrongSession)?;
        let secret = self.secrets.of_handshake(datagram).ok_or(Dropped::BadMac)?.mark();
        let own_is_smaller = self.own_is_smaller_than(self.peers[place].peer.member);
        let peer = &mut self.peers[place];
        let mut pending =
            peer.pending.take_if(|pending| pending.secret == secret).ok_or(Dropped::BadHandshake)?;
        let read = pending.initiating.read(noise).and_then(|welcome| {
            if welcome.from != peer.peer.member {
                return Err(Dropped::WrongIdentity);
            }
            if welcome.boot < peer.newest.0 { Err(Dropped::OldBoot) } else { Ok(welcome.boot) }
        });
        let boot = match read {
            Ok(boot) => boot,
            Err(reason) => {
                // The true answer may still come.
                peer.pending = Some(pending);
                return Err(reason);
            }
        };
        let local = pending.local;
        let transport = pending.initiating.finish()?;
        let jitter = self.randomness.number().unwrap_or(0);
        let origin = Origin { local, remote: sender, boot, initiator: true, secret, jitter };
        let session = Session::new(transport, origin, self.now, &self.config.limits);
        peer.newest = peer.newest.max((boot, 0));
        peer.address = from;
        peer.sessions.adopt(session, self.now, own_is_smaller);
        peer.note_handshake();
        self.flush(place);
        Ok(())
    }

    fn handle_transport(
        &mut self,
        from: SocketAddr,
        (receiver, counter, sealed): (u32, u64, &[u8]),
    ) -> Result<Option<(Member, Boot, usize)>, Dropped> {
        let place = self.peers.iter().position(|peer| peer.sessions.owns(receiver));
        let place = place.ok_or(Dropped::WrongSession)?;
        let own_is_smaller = self.own_is_smaller_than(self.peers[place].peer.member);
        let peer = &mut self.peers[place];
        let datagram = (receiver, counter, sealed);
        let opened = peer.sessions.open(self.now, datagram, own_is_smaller, &mut self.opened)?;
        peer.note_opened(self.now, opened.bytes);
        if opened.greatest {
            peer.address = from;
        }
        let member = peer.peer.member;
        if opened.confirmed {
            peer.note_handshake();
            self.flush(place);
        }
        Ok((opened.bytes > 0).then_some((member, opened.boot, opened.bytes)))
    }
}
