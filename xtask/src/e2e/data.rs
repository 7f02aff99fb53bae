//! Files to move, and whether they arrived.

use std::{
    ffi::OsStr,
    fs::{self, File, FileTimes},
    io::{Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

const BUFFER: usize = 1 << 20;

/// Writes `len` incompressible bytes, the same ones for the same `seed`.
pub(super) fn random_file(path: &Path, seed: u64, len: u64) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("{}", path.display()))?;
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut buffer = vec![0_u8; BUFFER];
    let mut left = len;
    while left > 0 {
        for word in buffer.chunks_exact_mut(8) {
            // xorshift64*
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            word.copy_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
        }
        let take = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
        file.write_all(&buffer[..take])?;
        left -= take as u64;
    }
    Ok(())
}

/// A folder with what file systems offer: empty and executable files, symbolic links, an empty
/// folder, a name that is not UTF-8.
pub(super) fn mixed_tree(root: &Path) -> Result<()> {
    fs::create_dir_all(root.join("deep/er"))?;
    fs::create_dir_all(root.join("empty folder"))?;
    for index in 0..200_u64 {
        random_file(&root.join(format!("deep/{index:03}.dat")), index + 1, index * 97)?;
    }
    random_file(&root.join("deep/er/large.bin"), 7, 3_000_001)?;
    File::create(root.join("empty"))?;
    fs::write(root.join("run.sh"), "#!/bin/sh\n")?;
    fs::set_permissions(root.join("run.sh"), fs::Permissions::from_mode(0o755))?;
    symlink("deep/000.dat", root.join("link"))?;
    fs::write(root.join(OsStr::from_bytes(b"not-utf8-\xff\xfe")), "x")?;
    Ok(())
}

/// Files below a folder.
pub(super) fn count_files(folder: &Path) -> Result<usize> {
    let mut count = 0;
    for name in entries(folder)? {
        let path = folder.join(name);
        count += if path.is_dir() { count_files(&path)? } else { 1 };
    }
    Ok(count)
}

/// Flips one bit, and leaves no other trace than a bad disk would.
pub(super) fn flip_bit(path: &Path, offset: u64) -> Result<()> {
    let before = fs::metadata(path)?;
    let file = File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)?;
    file.write_all_at(&[byte[0] ^ 1], offset)?;
    file.set_times(
        FileTimes::new().set_accessed(before.accessed()?).set_modified(before.modified()?),
    )?;
    Ok(())
}

/// Fails unless two files have the same bytes.
pub(super) fn same_file(left: &Path, right: &Path) -> Result<()> {
    let open = |path: &Path| File::open(path).with_context(|| format!("{}", path.display()));
    let (mut a, mut b) = (open(left)?, open(right)?);
    let (mut buffer_a, mut buffer_b) = (vec![0; BUFFER], Vec::new());
    let mut offset = 0;
    loop {
        let len = a.read(&mut buffer_a)?;
        buffer_b.clear();
        (&mut b).take(len.max(1) as u64).read_to_end(&mut buffer_b)?;
        if buffer_a[..len] != buffer_b[..] {
            bail!("{} and {} differ behind byte {offset}", left.display(), right.display());
        }
        if len == 0 {
            return Ok(());
        }
        offset += len as u64;
    }
}

/// Fails unless two folders have the same entries: names, kinds, bytes, modes, times, link targets.
pub(super) fn same_tree(left: &Path, right: &Path) -> Result<()> {
    let (names, others) = (entries(left)?, entries(right)?);
    ensure!(names == others, "{} holds {names:?}, {} {others:?}", left.display(), right.display());
    for name in names {
        let (a, b) = (left.join(&name), right.join(&name));
        let (of_a, of_b) = (a.symlink_metadata()?, b.symlink_metadata()?);
        ensure!(of_a.file_type() == of_b.file_type(), "{} is of another kind", b.display());
        if of_a.is_symlink() {
            ensure!(fs::read_link(&a)? == fs::read_link(&b)?, "{} leads elsewhere", b.display());
        } else if of_a.is_dir() {
            same_tree(&a, &b)?;
        } else {
            same_file(&a, &b)?;
            ensure!(of_a.mode() & 0o111 == of_b.mode() & 0o111, "{}: other mode", b.display());
            ensure!(of_a.mtime() == of_b.mtime(), "{}: other time", b.display());
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let mut names = Vec::new();
    for entry in list {
        names.push(PathBuf::from(entry?.file_name()));
    }
    names.sort();
    Ok(names)
}
