//! The engine's errors in this crate's words.

use core::{net::SocketAddr, time::Duration};
use std::io;

use iroh::endpoint::{
    BindError as EngineBindError, ConnectError, ConnectWithOptsError, ConnectingError,
    ConnectionError, TransportErrorCode,
};
use samara_base::PeerId;
use samara_mesh::link::DownReason;

use super::link::{CODE_CLOSED, CODE_PROTOCOL, CODE_TCP};
use crate::{
    driver::{BindError, DialError},
    links::short_reason,
};

pub(super) fn bind(error: EngineBindError, addr: Option<SocketAddr>) -> BindError {
    let text = error.to_string();
    match (error, addr) {
        (EngineBindError::Sockets { source, .. }, Some(addr)) => match source.kind() {
            io::ErrorKind::AddrInUse => BindError::AddressInUse { addr },
            io::ErrorKind::AddrNotAvailable => BindError::AddressNotAvailable { addr },
            io::ErrorKind::PermissionDenied => BindError::NotPermitted { addr },
            _ => BindError::Failed { reason: source.to_string() },
        },
        (EngineBindError::Sockets { source, .. }, None) => {
            BindError::Failed { reason: source.to_string() }
        }
        _ => BindError::Failed { reason: text },
    }
}

pub(super) fn dial(error: &ConnectError, peer: PeerId, after: Duration) -> DialError {
    match error {
        ConnectError::Connect { source, .. } => match source {
            ConnectWithOptsError::SelfConnect { .. } => DialError::Itself,
            ConnectWithOptsError::NoAddress { .. } => DialError::NoAddress,
            ConnectWithOptsError::EndpointClosed { .. } => DialError::Closed,
            _ => DialError::Failed { reason: source.to_string() },
        },
        ConnectError::Connecting { source, .. } => match source {
            ConnectingError::ConnectionError { source, .. } => connection(source, peer, after),
            ConnectingError::HandshakeFailure { .. } => DialError::WrongPeer { expected: peer },
            _ => DialError::Failed { reason: source.to_string() },
        },
        ConnectError::Connection { source, .. } => connection(source, peer, after),
        _ => DialError::Failed { reason: error.to_string() },
    }
}

/// TLS alerts, as QUIC carries them: RFC 9001, section 4.8.
const NO_APPLICATION_PROTOCOL: u8 = 120;
const BAD_CERTIFICATE: u8 = 42;
const CERTIFICATE_UNKNOWN: u8 = 46;
const UNKNOWN_CA: u8 = 48;

fn alert(code: TransportErrorCode, alert: u8) -> bool {
    code == TransportErrorCode::crypto(alert)
}

pub(super) fn connection(error: &ConnectionError, peer: PeerId, after: Duration) -> DialError {
    let code = match error {
        ConnectionError::TransportError(error) => Some(error.code),
        ConnectionError::ConnectionClosed(close) => Some(close.error_code),
        _ => None,
    };
    if let Some(code) = code {
        if alert(code, NO_APPLICATION_PROTOCOL) {
            return DialError::Incompatible { reason: "no common protocol version".to_owned() };
        }
        // Who proves another key than the one dialled gets one of these from this side.
        let unproven = [BAD_CERTIFICATE, CERTIFICATE_UNKNOWN, UNKNOWN_CA];
        if unproven.into_iter().any(|number| alert(code, number)) {
            return DialError::WrongPeer { expected: peer };
        }
        if code == TransportErrorCode::CONNECTION_REFUSED {
            return DialError::Refused { reason: String::new() };
        }
    }
    match error {
        ConnectionError::TimedOut => DialError::TimedOut { after },
        ConnectionError::ApplicationClosed(close) => {
            DialError::Refused { reason: said(&close.reason) }
        }
        ConnectionError::VersionMismatch => {
            DialError::Incompatible { reason: "no common QUIC version".to_owned() }
        }
        ConnectionError::LocallyClosed => DialError::Closed,
        _ => DialError::Failed { reason: error.to_string() },
    }
}

/// What a peer said, as far as it is text, cut to what is kept.
fn said(reason: &[u8]) -> String {
    short_reason(&String::from_utf8_lossy(reason)).to_owned()
}

/// Whether the peer closed the connection because the bulk lane's TCP connection had ended.
pub(super) fn is_of_tcp(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::ApplicationClosed(close) if close.error_code == CODE_TCP)
}

/// Why an open connection is gone.
pub(super) fn down(error: &ConnectionError) -> DownReason {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let reason = said(&close.reason);
            if [CODE_CLOSED, CODE_PROTOCOL, CODE_TCP].contains(&close.error_code) {
                DownReason::Remote { reason }
            } else {
                let code = close.error_code;
                DownReason::Remote {
                    reason: short_reason(&format!("{reason} ({code})")).to_owned(),
                }
            }
        }
        ConnectionError::ConnectionClosed(close) => {
            DownReason::Failed { reason: short_reason(&close.to_string()).to_owned() }
        }
        ConnectionError::TimedOut => DownReason::TimedOut,
        ConnectionError::LocallyClosed => DownReason::Local,
        ConnectionError::Reset => {
            DownReason::Failed { reason: "the peer has restarted".to_owned() }
        }
        _ => DownReason::Failed { reason: short_reason(&error.to_string()).to_owned() },
    }
}
