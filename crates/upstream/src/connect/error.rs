//! Why there is no connection, each cause with its own words: an operator must be able to tell a name that does not
//! resolve from a port that is shut and a certificate that expired from one that nobody vouches for.

use std::{error::Error, io};

use rustls::CertificateError;

use crate::address::AddressError;

/// Why no connection came about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The SSRF guard said no.
    #[error("the destination is not allowed: {0}")]
    Address(#[from] AddressError),
    /// The name has no address.
    #[error("the name `{host}` does not resolve: {why}")]
    Dns {
        /// The name.
        host: String,
        /// What the resolver says.
        why: String,
    },
    /// Nobody listens there.
    #[error("the connection was refused: nobody listens at the destination's port")]
    Refused,
    /// Any other failure of the network.
    #[error("no connection: {0}")]
    Network(String),
    /// The certificate's time is over, or has not begun.
    #[error("the upstream's certificate has expired or is not valid yet")]
    TlsExpired,
    /// The certificate is for another name.
    #[error("the upstream's certificate is for another host name")]
    TlsWrongName,
    /// Nobody the machine trusts vouches for the certificate.
    #[error("the upstream's certificate is self-signed or its authority is not trusted on this machine")]
    TlsUntrusted,
    /// Any other failure of TLS.
    #[error("TLS failed: {0}")]
    Tls(String),
}

impl ConnectError {
    /// The cause in one word, for records and metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Address(_) => "address_not_allowed",
            Self::Dns { .. } => "dns",
            Self::Refused => "connection_refused",
            Self::Network(_) => "network",
            Self::TlsExpired => "tls_expired",
            Self::TlsWrongName => "tls_wrong_name",
            Self::TlsUntrusted => "tls_untrusted",
            Self::Tls(_) => "tls",
        }
    }

    /// The error of a TCP connection that failed.
    pub(crate) fn from_io(error: Option<&io::Error>) -> Self {
        match error {
            Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => Self::Refused,
            Some(error) => Self::Network(error.to_string()),
            None => Self::Network("no address was left to try".to_owned()),
        }
    }

    /// Finds the cause in the chain of errors that an HTTP client wraps around it.
    pub(crate) fn find(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        let mut last = String::new();
        for _ in 0..16 {
            let Some(current) = next else { break };
            if let Some(own) = current.downcast_ref::<Self>() {
                return own.clone();
            }
            if let Some(tls) = current.downcast_ref::<rustls::Error>() {
                return Self::from_tls(tls);
            }
            // An `io::Error` hides what it wraps from `source`, so its inside is looked at first.
            if let Some(io) = current.downcast_ref::<io::Error>() {
                match io.get_ref() {
                    Some(inner) => {
                        next = Some(inner);
                        continue;
                    }
                    None => return Self::from_io(Some(io)),
                }
            }
            last = current.to_string();
            next = current.source();
        }
        Self::Network(last)
    }

    fn from_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(certificate) => match certificate {
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::TlsExpired,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    Self::TlsWrongName
                }
                CertificateError::UnknownIssuer => Self::TlsUntrusted,
                CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => Self::TlsUntrusted,
                other => Self::Tls(format!("the certificate is not accepted: {other}")),
            },
            other => Self::Tls(other.to_string()),
        }
    }
}
