//! Keys: what they look like, how they are kept, and whose call it is.
//!
//! Owns the key's form, its HMAC, and the table in memory that every call is looked up in. Never stores a key itself
//! and never logs one. The proxy authenticates with [`KeyTable`]; the store implements [`KeyStore`]; the admin API mints.

mod key;
mod record;
mod table;

pub use key::{KeyDigest, Malformed, MintError, Pepper, PresentedKey, mint, mint_for, parse};
pub use record::{KeyOrigin, KeyRecord, KeyStore, KeyStoreError, StoredKey, StoredRules};
pub use table::{Declared, KeyTable, MOST_LENT, NotAccepted};
