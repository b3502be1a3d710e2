//! Typed maps of the kernel: the sizes of keys and values are compared with the types once, when a map is opened.
//!
//! The kernel copies as many bytes as the map says, to and from wherever it is told. So nothing here takes an address
//! and a length: only what [`TypedMap::open`] and [`ObjectMap::open`] have found to fit is ever copied.

use super::bpf::{self, MapInfo};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Types of maps in which a value is one, of the size that the map says: `BPF_MAP_TYPE_HASH`, `_ARRAY`, `_LRU_HASH`,
/// `_SK_STORAGE`. Of a map with a value for each processor the kernel copies them all.
const PLAIN: [u32; 4] = [1, 2, 9, 24];
/// Types of maps in which a value is another object of the kernel: `BPF_MAP_TYPE_PROG_ARRAY`, `_CGROUP_ARRAY`,
/// `_ARRAY_OF_MAPS`, `_HASH_OF_MAPS`.
const OF_OBJECTS: [u32; 4] = [3, 8, 12, 13];
/// Largest number of entries that one call fetches.
const AT_ONCE: usize = 4096;

/// A map with keys and values of these types, opened by a descriptor that lives as long.
#[derive(Debug)]
pub struct TypedMap<F, K, V> {
    fd: F,
    /// Number of entries that the map has room for.
    entries: u32,
    types: PhantomData<fn(K) -> V>,
}

impl<F, K, V> TypedMap<F, K, V>
where
    F: AsFd,
    K: IntoBytes + Immutable,
    V: FromBytes + IntoBytes + Immutable,
{
    /// Opens the map.
    ///
    /// # Errors
    /// `InvalidInput` if the map is another one: its keys or values have other sizes, it has a value for each
    /// processor, or its values are objects.
    pub fn open(fd: F) -> io::Result<Self> {
        let entries = fits(&fd, &PLAIN, size_of::<K>(), size_of::<V>())?.max_entries;
        Ok(Self {
            fd,
            entries,
            types: PhantomData,
        })
    }

    /// Reads the value of this key, or returns `None` if it has none.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn get(&self, key: &K) -> io::Result<Option<V>> {
        let mut value = V::new_zeroed();
        let there = bpf::lookup(self.fd.as_fd(), key.as_bytes(), value.as_mut_bytes())?;
        Ok(there.then_some(value))
    }

    /// Sets the value of this key.
    ///
    /// # Errors
    /// What the kernel says: there is no room, for one.
    pub fn set(&self, key: &K, value: &V) -> io::Result<()> {
        bpf::update(self.fd.as_fd(), key.as_bytes(), value.as_bytes(), 0)
    }

    /// Sets the value of this key if it has none. Returns `false` if it has one, which stays.
    ///
    /// # Errors
    /// What the kernel says: there is no room, for one.
    pub fn set_new(&self, key: &K, value: &V) -> io::Result<bool> {
        let (key, value) = (key.as_bytes(), value.as_bytes());
        match bpf::update(self.fd.as_fd(), key, value, bpf::ONLY_NEW) {
            Ok(()) => Ok(true),
            Err(there) if there.raw_os_error() == Some(libc::EEXIST) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// Deletes this key. Returns `false` if it was not there.
    ///
    /// # Errors
    /// What the kernel says: nothing is taken out of an array.
    pub fn remove(&self, key: &K) -> io::Result<bool> {
        bpf::delete(self.fd.as_fd(), key.as_bytes())
    }

    /// Calls `meet` with every entry of a hash, as it is met, or of an array, in its order. What is put in or taken out
    /// meanwhile may be met or not.
    ///
    /// # Errors
    /// What the kernel says: not every kind of map can be walked.
    pub fn each(&self, mut meet: impl FnMut(&K, &V)) -> io::Result<()>
    where
        K: FromBytes,
    {
        // One more than there are: only who could have fetched another one hears that it was the last.
        let most = AT_ONCE.min(self.entries as usize + 1);
        let mut keys = Vec::from_iter((0..most).map(|_| K::new_zeroed()));
        let mut values = Vec::from_iter((0..most).map(|_| V::new_zeroed()));
        // The kernel's own position is at most eight bytes or a key.
        let mut place = vec![0_u8; size_of::<K>().max(8)];
        let mut started = false;
        loop {
            let (keys, values) = (&mut keys[..], &mut values[..]);
            let (met, last) = bpf::lookup_batch(
                self.fd.as_fd(),
                started,
                &mut place,
                keys.as_mut_bytes(),
                values.as_mut_bytes(),
                most,
            )?;
            for (key, value) in keys.iter().zip(&*values).take(met) {
                meet(key, value);
            }
            if last {
                return Ok(());
            }
            started = true;
        }
    }
}

/// A map of other objects: maps, programs, control groups. An object is put in by a descriptor, and read by its number.
#[derive(Debug)]
pub struct ObjectMap<F>(F);

impl<F: AsFd> ObjectMap<F> {
    /// Opens the map.
    ///
    /// # Errors
    /// `InvalidInput` if the map is another one.
    pub fn open(fd: F) -> io::Result<Self> {
        fits(&fd, &OF_OBJECTS, size_of::<u32>(), size_of::<u32>())?;
        Ok(Self(fd))
    }

    /// Puts an object at this place, instead of what stood there. From a map of maps, the kernel returns when no
    /// running program can still see that.
    ///
    /// # Errors
    /// What the kernel says: the object is not of the kind that the map holds, for one.
    pub fn put(&self, place: u32, object: impl AsFd) -> io::Result<()> {
        let number = object.as_fd().as_raw_fd();
        bpf::update(self.0.as_fd(), place.as_bytes(), number.as_bytes(), 0)
    }

    /// Returns the number of the object at this place, or `None` if there is none. Not every kernel tells of each kind.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn id(&self, place: u32) -> io::Result<Option<u32>> {
        let mut id = 0_u32;
        let there = bpf::lookup(self.0.as_fd(), place.as_bytes(), id.as_mut_bytes())?;
        Ok(there.then_some(id))
    }

    /// Opens the map at this place of a map of maps, or returns `None` if there is none. Needs CAP_SYS_ADMIN.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn map(&self, place: u32) -> io::Result<Option<OwnedFd>> {
        self.id(place)?.map(bpf::map_by_id).transpose()
    }

    /// Takes the object at this place out. Returns `false` if there was none. From a map of maps, the kernel returns
    /// when no running program can still see it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn remove(&self, place: u32) -> io::Result<bool> {
        bpf::delete(self.0.as_fd(), place.as_bytes())
    }
}

fn fits(fd: &impl AsFd, kinds: &[u32], key: usize, value: usize) -> io::Result<MapInfo> {
    let info = bpf::map_info(fd.as_fd())?;
    let sizes = (info.key_size as usize, info.value_size as usize);
    if kinds.contains(&info.kind) && sizes == (key, value) {
        Ok(info)
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    /// Makes a map whose values have 16 bytes, or returns `None` if this user may make none.
    fn page() -> Option<OwnedFd> {
        match bpf::create_page(16) {
            Ok(map) => Some(map),
            Err(refused) if refused.raw_os_error() == Some(libc::EPERM) => None,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_map_of_other_sizes_is_an_error_and_not_a_copy_of_what_lies_beside() {
        let Some(map) = page() else { return };
        let sizes = [
            TypedMap::<_, u32, [u8; 15]>::open(&map).map(drop),
            TypedMap::<_, u32, [u8; 17]>::open(&map).map(drop),
            TypedMap::<_, u32, ()>::open(&map).map(drop),
            TypedMap::<_, u64, [u8; 16]>::open(&map).map(drop),
            TypedMap::<_, [u8; 3], [u8; 16]>::open(&map).map(drop),
            ObjectMap::open(&map).map(drop),
        ];
        for refused in sizes {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        // A ring and a file are maps of nothing.
        let ring = bpf::create_ring(4096).unwrap();
        assert!(TypedMap::<_, (), ()>::open(&ring).is_err());
        assert!(TypedMap::<_, u32, u32>::open(std::io::stdin()).is_err());

        let map: TypedMap<_, u32, [u8; 16]> = TypedMap::open(map).unwrap();
        map.set(&0, &[7; 16]).unwrap();
        assert_eq!(map.get(&0).unwrap(), Some([7; 16]));
        assert_eq!(map.get(&1).unwrap(), None, "it has one entry");
    }

    #[test]
    fn every_entry_of_an_array_is_met_once_and_in_its_order() {
        if page().is_none() {
            return;
        }
        for entries in [1, 64, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE] {
            let values = Vec::from_iter((0..entries as u64).map(|n| n * n + 7));
            let array = bpf::create_filled(values.as_bytes(), 8).unwrap();
            let array = TypedMap::<_, u32, u64>::open(array).unwrap();
            let (mut keys, mut met) = (Vec::new(), Vec::new());
            array
                .each(|key, value| {
                    keys.push(*key);
                    met.push(*value);
                })
                .unwrap();
            assert_eq!(keys, Vec::from_iter(0..entries as u32));
            assert_eq!(met, values);
        }
    }

    #[test]
    fn a_map_with_a_value_for_each_processor_is_none_of_one_value() {
        /// Type of an array with a value for each processor: `BPF_MAP_TYPE_PERCPU_ARRAY`.
        const FOR_EACH: u32 = 6;
        if page().is_none() {
            return;
        }
        let map = bpf::create_array(FOR_EACH, 8).unwrap();
        let refused = TypedMap::<_, u32, u64>::open(&map).map(drop);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
