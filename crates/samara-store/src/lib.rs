//! A durable content-addressed store of verified extents.
#![forbid(unsafe_code)]

pub mod disk;
mod error;
mod external;
#[cfg(any(fuzzing, feature = "fuzzing", test))]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod inner;
mod journal;
mod open;
mod outboard;
mod partial;
mod put;
mod reader;
mod receive;
mod record;
mod roots;
mod row;
mod segment;
mod store;

pub use error::{
    ExportError, FinishError, ImportError, IngestError, OpenError, PublishError, ReadError,
    ReceiveError, ShareError, StoreError,
};
pub use open::Recovery;
pub use partial::Ingested;
pub use reader::{BlobReader, Encoded};
pub use receive::{Receiver, Target};
pub use row::RootId;
pub use store::{BlobPlace, BlobStat, Options, Store, Usage, VerifyReport};
