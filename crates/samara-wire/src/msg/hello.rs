use alloc::string::String;

use bytes::Bytes;
use nom::Parser;

use super::Codec;
use crate::{
    DecodeError, DecodeReason, EncodeError, Field,
    encoded::Writer,
    limits::{AGENT_MAX, FRAME_BODY_MAX, FRAME_BODY_MIN},
    parse::{Fault, finish, text_rest, varint},
    registry::{hello as tlv_types, kind},
    tlv, varint as form,
};

/// `HELLO`: the first message of each side. Spec: RFC 0003; what follows from it: RFC 0005.
///
/// ```text
/// +------------------------------------------------------------------------------+
/// | TLVs: 0x00 versions: min v, max v   0x01 agent: UTF-8   0x02 frame_body_max v |
/// |       0x04 wants_max v              0x06 credit v       0x08 features v       |
/// +------------------------------------------------------------------------------+
/// ```
///
/// All are required but `agent`, which is left out when empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "callers build it")]
pub struct Hello {
    /// Oldest version that the sender speaks.
    pub version_min: u64,
    /// Newest version that the sender speaks. At least `version_min`.
    pub version_max: u64,
    /// Name and version of the software, for logs. At most [`AGENT_MAX`](crate::AGENT_MAX) bytes;
    /// empty if the sender does not say.
    pub agent: String,
    /// Largest frame body that the sender takes. From [`FRAME_BODY_MIN`](crate::FRAME_BODY_MIN) to
    /// [`FRAME_BODY_MAX`](crate::FRAME_BODY_MAX). Unit: bytes.
    pub frame_body_max: u32,
    /// Wants that the sender serves at once. Unit: wants.
    pub wants_max: u64,
    /// Bulk bytes (proof and data of DATA) that the receiver may send before the first CREDIT.
    /// Unit: bytes.
    pub credit: u64,
    /// Features that the sender offers, one per bit. Bits: RFC 0005.
    pub features: u64,
}

impl Hello {
    /// The kind of the frame.
    pub const KIND: u64 = kind::HELLO;
}

fn one_varint(value: &[u8], field: Field) -> Result<u64, Fault> {
    finish(value, varint(field).parse(value))
}

impl Codec for Hello {
    fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        let (mut versions, mut agent) = (None, String::new());
        let (mut frame_body_max, mut wants_max, mut credit, mut features) =
            (None, None, None, None);
        tlv::walk(body, |tlv_type, value| {
            let here = |field, reason| Err(Fault { left: value.len(), field, reason });
            match tlv_type {
                tlv_types::VERSIONS => {
                    let pair = (varint(Field::Versions), varint(Field::Versions)).parse(value);
                    let (min, max) = finish(value, pair)?;
                    //= rfcs/0003-encoding.md#enc-23
                    //# A decoder MUST reject a HELLO whose lowest version is above its highest.
                    if min > max {
                        return here(Field::Versions, DecodeReason::Inverted);
                    }
                    versions = Some((min, max));
                }
                tlv_types::AGENT => {
                    //= rfcs/0003-encoding.md#enc-25
                    //# A decoder MUST reject a HELLO whose agent is there but empty, longer than
                    //# 64 bytes, or not UTF-8.
                    if value.is_empty() {
                        return here(Field::Agent, DecodeReason::Empty);
                    }
                    agent = finish(value, text_rest(value, Field::Agent, AGENT_MAX))?.into();
                }
                tlv_types::FRAME_BODY_MAX => {
                    let found = one_varint(value, Field::FrameBodyMax)?;
                    let (min, max) = (u64::from(FRAME_BODY_MIN), u64::from(FRAME_BODY_MAX));
                    //= rfcs/0003-encoding.md#enc-24
                    //# A decoder MUST reject a HELLO whose frame_body_max is below 128 or above
                    //# 1,114,112.
                    if found < min {
                        return here(Field::FrameBodyMax, DecodeReason::TooSmall { found, min });
                    }
                    frame_body_max = u32::try_from(found).ok().filter(|&len| len <= FRAME_BODY_MAX);
                    if frame_body_max.is_none() {
                        return here(Field::FrameBodyMax, DecodeReason::TooLarge { found, max });
                    }
                }
                tlv_types::WANTS_MAX => wants_max = Some(one_varint(value, Field::WantsMax)?),
                tlv_types::CREDIT => credit = Some(one_varint(value, Field::Credit)?),
                tlv_types::FEATURES => features = Some(one_varint(value, Field::Features)?),
                _ => return Ok(false),
            }
            Ok(true)
        })
        .map_err(|fault| fault.place(body.len()))?;
        //= rfcs/0003-encoding.md#enc-22
        //# A decoder MUST reject a HELLO that lacks any of versions, frame_body_max, wants_max,
        //# credit and features.
        let absent =
            |field| Fault { left: 0, field, reason: DecodeReason::Absent }.place(body.len());
        let (version_min, version_max) = versions.ok_or_else(|| absent(Field::Versions))?;
        Ok(Self {
            version_min,
            version_max,
            agent,
            frame_body_max: frame_body_max.ok_or_else(|| absent(Field::FrameBodyMax))?,
            wants_max: wants_max.ok_or_else(|| absent(Field::WantsMax))?,
            credit: credit.ok_or_else(|| absent(Field::Credit))?,
            features: features.ok_or_else(|| absent(Field::Features))?,
        })
    }

    fn hint(&self) -> usize {
        64 + self.agent.len()
    }

    fn put(&self, out: &mut Writer) -> Result<(), EncodeError> {
        if self.version_min > self.version_max {
            return Err(EncodeError::Inverted { field: Field::Versions });
        }
        let (found, max) = (self.agent.len() as u64, AGENT_MAX as u64);
        if found > max {
            return Err(EncodeError::TooLarge { field: Field::Agent, found, max });
        }
        let found = u64::from(self.frame_body_max);
        let (min, max) = (u64::from(FRAME_BODY_MIN), u64::from(FRAME_BODY_MAX));
        if found < min {
            return Err(EncodeError::TooSmall { field: Field::FrameBodyMax, found, min });
        }
        if found > max {
            return Err(EncodeError::TooLarge { field: Field::FrameBodyMax, found, max });
        }
        let bound = |found| {
            let (field, max) = (Field::Versions, form::MAX);
            form::Bytes::new(found).ok_or(EncodeError::TooLarge { field, found, max })
        };
        let versions = [bound(self.version_min)?, bound(self.version_max)?];
        let versions = [versions[0].as_slice(), versions[1].as_slice()].concat();
        tlv::put(tlv_types::VERSIONS, &versions, Field::Versions, out.out())?;
        if !self.agent.is_empty() {
            tlv::put(tlv_types::AGENT, self.agent.as_bytes(), Field::Agent, out.out())?;
        }
        out.tlv_varint(tlv_types::FRAME_BODY_MAX, Field::FrameBodyMax, found)?;
        out.tlv_varint(tlv_types::WANTS_MAX, Field::WantsMax, self.wants_max)?;
        out.tlv_varint(tlv_types::CREDIT, Field::Credit, self.credit)?;
        out.tlv_varint(tlv_types::FEATURES, Field::Features, self.features)
    }
}
