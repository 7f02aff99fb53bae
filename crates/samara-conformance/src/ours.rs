//! The crates of this repository as a subject.

use std::io;

use serde_json::Value;

use crate::{Answer, Codec, Params, Subject};

mod data;
mod frame;
mod json;
mod manifest;
mod message;
mod record;
mod session;
mod ticket;
mod tree;
mod wire;

pub(crate) use data::Pattern;
pub(crate) use json::{bytes, number, ranges};
pub(crate) use session::{Store, decode_with};

/// The crates of this repository.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has no state")]
pub struct Ours;

/// A result or why there is none.
pub(crate) type Outcome<T> = Result<T, String>;

impl Subject for Ours {
    fn name(&self) -> String {
        "samara".to_owned()
    }

    fn decode(&mut self, codec: Codec, params: &Params, bytes: &[u8]) -> io::Result<Answer<Value>> {
        let value = match codec {
            Codec::Varint => wire::decode_varint(bytes),
            Codec::Ranges => wire::decode_ranges(params, bytes),
            Codec::Tlv => wire::decode_tlv(params, bytes),
            Codec::Frame => frame::decode(params, bytes),
            Codec::Message => message::decode(bytes),
            Codec::Identity => tree::identity(params, bytes),
            Codec::Outboard => tree::outboard(params, bytes),
            Codec::Transfer => tree::transfer(params, bytes),
            Codec::Frontier => tree::frontier(params, bytes),
            Codec::Manifest => manifest::decode(bytes),
            Codec::Ticket => ticket::decode(bytes),
            Codec::Record => record::decode(params, bytes),
            Codec::Session => session::decode(params, bytes),
        };
        Ok(value.map_or_else(Answer::Invalid, Answer::Valid))
    }

    fn encode(
        &mut self,
        codec: Codec,
        params: &Params,
        value: &Value,
    ) -> io::Result<Answer<Vec<u8>>> {
        let encoded = match codec {
            Codec::Varint => wire::encode_varint(value),
            Codec::Ranges => wire::encode_ranges(params, value),
            Codec::Tlv => wire::encode_tlv(value),
            Codec::Frame => frame::encode(params, value),
            Codec::Message => message::encode(value),
            Codec::Manifest => manifest::encode(value),
            // The bytes of these do not follow from their values.
            Codec::Identity
            | Codec::Outboard
            | Codec::Transfer
            | Codec::Frontier
            | Codec::Session => return Ok(Answer::Unsupported),
            Codec::Ticket => ticket::encode(value),
            Codec::Record => record::encode(params, value),
        };
        let bytes = match encoded {
            Ok(bytes) => bytes,
            Err(reason) => return Ok(Answer::Invalid(reason)),
        };
        //= rfcs/0014-conformance.md#conf-8
        //# A subject that encodes MUST answer `invalid` to a value that no bytes mean, except
        //# `skipped`.
        let skipped = codec == Codec::Message && bytes.is_empty();
        if skipped || self.decode(codec, params, &bytes)? == Answer::Valid(value.clone()) {
            return Ok(Answer::Valid(bytes));
        }
        Ok(Answer::Invalid("no bytes mean this value".to_owned()))
    }
}
