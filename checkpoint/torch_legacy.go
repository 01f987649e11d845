package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
)

// legacyMagic begins files of PyTorch before 1.6.
var legacyMagic, _ = new(big.Int).SetString("119547037146038801333356", 10)

// legacyStorage is a storage whose bytes follow the pickles.
type legacyStorage struct {
	*storage
	bytes, elem int64
}

// parseLegacy reads the format of PyTorch before 1.6: five pickles (magic,
// protocol, machine, object, storage keys), then each storage as its number of
// elements and its bytes.
func (f *File) parseLegacy(data []byte, o Options) error {
	m := &machine{code: data, allow: o.Allow}
	if err := legacyHeader(m); err != nil {
		return err
	}
	storages := map[string]*legacyStorage{}
	m.persist = func(id value) (value, error) {
		return persistentID(id, func(key string, bytes, elem int64) (*storage, error) {
			s, ok := storages[key]
			if !ok {
				s = &legacyStorage{&storage{}, bytes, elem}
				storages[key] = s
			}
			if s.bytes != bytes {
				return nil, fmt.Errorf("storage %s has two sizes, %d and %d bytes", key, s.bytes, bytes)
			}
			return s.storage, nil
		})
	}
	root, err := m.run()
	if err != nil {
		return err
	}
	m.persist = nil
	keys, err := m.run()
	if err != nil {
		return fmt.Errorf("list of storages: %w", err)
	}
	if err := readStorages(data[m.pos:], keys, storages); err != nil {
		return err
	}
	return f.take(root, o)
}

// legacyHeader reads the pickles before the object.
func legacyHeader(m *machine) error {
	magic, err := m.run()
	if err != nil {
		return fmt.Errorf("neither a PyTorch file nor safetensors, or cut short: %w", err)
	}
	if n, ok := magic.(*big.Int); !ok || n.Cmp(legacyMagic) != 0 {
		return errors.New("a pickle, but not one that torch.save wrote")
	}
	version, err := m.run()
	if err != nil {
		return err
	}
	if n, _ := version.(int64); n != 1001 {
		return fmt.Errorf("legacy PyTorch file of protocol %v: only 1001 is known", version)
	}
	info, err := m.run()
	if err != nil {
		return err
	}
	d, _ := info.(*dict)
	if little, ok := d.get("little_endian"); !ok || little != true {
		return errors.New("the file was written on a big-endian machine: not supported")
	}
	return nil
}

// readStorages hands out the bytes behind the pickles.
func readStorages(data []byte, keys value, storages map[string]*legacyStorage) error {
	order, ok := keys.(*list)
	if !ok {
		return errors.New("list of storages is missing")
	}
	done := map[string]bool{}
	for _, k := range order.items {
		key, ok := storageKey(k)
		s := storages[key]
		if !ok || s == nil || done[key] {
			return fmt.Errorf("storage %v is listed but not referred to, or listed twice", k)
		}
		done[key] = true
		if len(data) < 8 {
			return fmt.Errorf("the file is cut short: storage %s is missing", key)
		}
		numel := binary.LittleEndian.Uint64(data)
		data = data[8:]
		if numel != uint64(s.bytes/s.elem) {
			return fmt.Errorf("storage %s has %d elements where %d are expected", key, numel, s.bytes/s.elem)
		}
		if s.bytes > int64(len(data)) {
			return fmt.Errorf("the file is cut short: storage %s has %d bytes, of which %d are there", key, s.bytes, len(data))
		}
		s.data = data[:s.bytes:s.bytes]
		data = data[s.bytes:]
	}
	for key := range storages {
		if !done[key] {
			return fmt.Errorf("storage %s is missing in the file", key)
		}
	}
	return nil
}
