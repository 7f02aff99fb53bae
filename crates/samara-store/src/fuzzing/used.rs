//! A store to damage.

use core::time::Duration;
use std::{path::Path, sync::Arc};

use samara_base::{BlobId, GroupLog2};
use samara_tree::{Cv, OutboardBuilder, Prover};

use super::DIR;
use crate::{
    Class, Options, Receiver, Store, Target,
    disk::{Fault, MemDisk},
};

const SOUND: &str = "invariant: a new disk";

/// A store with a blob of each kind and one that comes too late for the last checkpoint, as a power
/// cut leaves it.
pub(super) fn used_store() -> MemDisk {
    let disk = MemDisk::new();
    let options = Options { cache_bytes: 1 << 16, ..Options::default() };
    let store = Store::open_on(Arc::new(disk.clone()), Path::new(DIR), options).expect(SOUND);
    let small = store.put(b"small").expect(SOUND);
    store.tag(b"tag", &small).expect(SOUND);
    store.pin(&small, b"reason").expect(SOUND);
    store.lease(&small, b"lease", Duration::from_secs(5)).expect(SOUND);
    store.import(&[1; 20_000][..], &mut |_| ()).expect(SOUND);
    disk.write_file(Path::new("/outside-0"), &[2; 18_000], true).expect(SOUND);
    let root = store.root(Path::new("/")).expect(SOUND);
    store.share_in_place(root, b"outside-0", &mut |_| ()).expect(SOUND);
    store.scrub(1 << 15).expect(SOUND);
    store.checkpoint().expect(SOUND);
    let receiver = receive(&store);
    store.put(b"since the checkpoint").expect(SOUND);
    // From here on nothing that is still done reaches the disk.
    disk.fail_after(0, Fault::Cut);
    drop((receiver, store));
    disk.crash(None);
    disk.power_on();
    disk
}

/// Two of three groups of a blob, the second one behind a checkpoint.
fn receive(store: &Store) -> Receiver {
    let data = vec![3; 40_000];
    let (id, outboard) = outboard(&data);
    let prover = Prover::open(id, data.len() as u64, outboard.as_slice()).expect(SOUND);
    store.set_class(&id, Class::Carried, Duration::from_hours(1)).expect(SOUND);
    let receiver = store.receive(&id, data.len() as u64, &Target::Segments).expect(SOUND);
    for group in [0, 2] {
        let leaves = 16 * group..(16 * group + 16).min(prover.tree().leaves());
        let bytes = data.iter().copied().skip(16_384 * group as usize).take(16_384);
        let bytes: Vec<u8> = bytes.collect();
        let base = receiver.known();
        let proof = prover.encode(outboard.as_slice(), GroupLog2::KIB16, &leaves, &base, &bytes);
        let proof = proof.expect(SOUND);
        let ingested = receiver.ingest(GroupLog2::KIB16, leaves.start, &base, &proof, &bytes);
        ingested.expect(SOUND);
        if group == 0 {
            store.checkpoint().expect(SOUND);
        }
    }
    receiver
}

fn outboard(data: &[u8]) -> (BlobId, Vec<Cv>) {
    let mut outboard = Vec::new();
    let mut builder = OutboardBuilder::new();
    builder.push(data, &mut |_, cv| outboard.push(cv));
    let (id, _) = builder.finish(&mut |_, cv| outboard.push(cv));
    (id, outboard)
}
