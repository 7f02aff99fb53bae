//! Vector files. Spec: RFC 0014, section "Vector files".

use core::fmt;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Codec, Params};

/// What a decoder has to make of the bytes of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "RFC 0014 has these three")]
pub enum Expect {
    /// They have a meaning, and are its only encoding.
    Valid,
    /// They have to be refused.
    Invalid,
    /// They have a meaning, and parts that are skipped.
    MustIgnore,
}

/// One test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// From 1, unique in the file.
    pub id: u32,
    /// What is special about it.
    pub comment: String,
    /// What a decoder knows beside the bytes.
    #[serde(default, skip_serializing_if = "Params::is_empty")]
    pub params: Params,
    /// The input.
    #[serde(with = "hex")]
    pub bytes: Vec<u8>,
    /// What is to be made of it.
    pub result: Expect,
    /// The requirement that the bytes break or exercise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub req: Option<String>,
    /// What the bytes mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The encoding without what was skipped.
    #[serde(default, with = "optional_hex", skip_serializing_if = "Option::is_none")]
    pub canonical: Option<Vec<u8>>,
}

impl Test {
    /// The one encoding of the test's value; `None` for bytes that have none.
    #[must_use]
    pub fn canonical_bytes(&self) -> Option<&[u8]> {
        match self.result {
            Expect::Valid => Some(&self.bytes),
            Expect::MustIgnore => self.canonical.as_deref(),
            Expect::Invalid => None,
        }
    }
}

/// The tests of one codec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub struct VectorFile {
    /// What is tested.
    #[serde(with = "codec_name")]
    pub codec: Codec,
    /// Path of the RFC, from the root of the repository.
    pub rfc: String,
    /// One sentence.
    pub about: String,
    /// In the order of their ids.
    pub tests: Vec<Test>,
}

/// Why a vector file was not read.
#[derive(Debug)]
#[non_exhaustive]
pub enum VectorError {
    /// The file or directory can't be read.
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is not as RFC 0014 says.
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl fmt::Display for VectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "cannot read {}: {error}", path.display()),
            Self::Malformed { path, problem } => {
                write!(f, "{} is not a vector file: {problem}", path.display())
            }
        }
    }
}

impl core::error::Error for VectorError {}

impl VectorFile {
    /// Reads a file and checks its form.
    ///
    /// # Errors
    ///
    /// [`VectorError`].
    pub fn read(path: &Path) -> Result<Self, VectorError> {
        let text = fs::read_to_string(path)
            .map_err(|error| VectorError::Io { path: path.to_owned(), error })?;
        let malformed = |problem| VectorError::Malformed { path: path.to_owned(), problem };
        let file: Self =
            serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        file.check().map_err(malformed)?;
        Ok(file)
    }

    /// Reads all files of a directory, in the order of their names.
    ///
    /// # Errors
    ///
    /// [`VectorError`], also if there is none.
    pub fn read_all(directory: &Path) -> Result<Vec<(String, Self)>, VectorError> {
        let failed = |error| VectorError::Io { path: directory.to_owned(), error };
        let mut paths = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|ending| ending == "json") {
                paths.push(path);
            }
        }
        paths.sort();
        if paths.is_empty() {
            let problem = "there is no vector file in this directory".to_owned();
            return Err(VectorError::Malformed { path: directory.to_owned(), problem });
        }
        let name =
            |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        paths.iter().map(|path| Ok((name(path), Self::read(path)?))).collect()
    }

    /// What the form of a test demands of its parts.
    fn check(&self) -> Result<(), String> {
        let mut last = 0;
        for test in &self.tests {
            let id = test.id;
            if id != last + 1 {
                return Err(format!("test {id} follows test {last}"));
            }
            last = id;
            let (value, canonical) = (test.value.is_some(), test.canonical.is_some());
            let right = match test.result {
                Expect::Valid => value && !canonical,
                Expect::MustIgnore => value && canonical,
                Expect::Invalid => !value && !canonical && test.req.is_some(),
            };
            if !right {
                return Err(format!("test {id} has not the keys that its result takes"));
            }
        }
        Ok(())
    }

    /// The file as it is kept: one line per test, so that a change shows as a few lines.
    ///
    /// # Panics
    ///
    /// Never: all parts are plain JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let text = |value: &str| Value::from(value).to_string();
        let mut out = format!(
            "{{\n\"codec\": {},\n\"rfc\": {},\n\"about\": {},\n\"tests\": [\n",
            text(self.codec.name()),
            text(&self.rfc),
            text(&self.about)
        );
        for (at, test) in self.tests.iter().enumerate() {
            let line = serde_json::to_string(test);
            out += &line.unwrap_or_default();
            out += if at + 1 < self.tests.len() { ",\n" } else { "\n" };
        }
        out += "]\n}\n";
        out
    }
}

mod codec_name {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::Codec;

    pub(super) fn serialize<S: Serializer>(codec: &Codec, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(codec.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Codec, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::HEXLOWER;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&HEXLOWER.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        HEXLOWER.decode(text.as_bytes()).map_err(D::Error::custom)
    }
}

mod optional_hex {
    use serde::{Deserializer, Serializer};

    use super::hex;

    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => hex::serialize(bytes, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        hex::deserialize(from).map(Some)
    }
}
