package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	newABISymbol = "_ZN3c105ErrorC1ENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
	oldABISymbol = "_ZN3c105ErrorC1ESs"
)

// elfFile is a shared object with nothing in it but dynamic symbols.
func elfFile(machine elf.Machine, symbols ...string) []byte {
	names := []byte{0}
	table := make([]byte, 24) // the first symbol is null by definition
	for _, s := range symbols {
		entry := make([]byte, 24)
		binary.LittleEndian.PutUint32(entry, uint32(len(names)))
		entry[4] = byte(elf.STB_GLOBAL)<<4 | byte(elf.STT_FUNC)
		binary.LittleEndian.PutUint16(entry[6:], 1)
		table = append(table, entry...)
		names = append(append(names, s...), 0)
	}
	sections := []byte("\x00.dynsym\x00.dynstr\x00.shstrtab\x00")
	var out bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			if err := binary.Write(&out, binary.LittleEndian, v); err != nil {
				panic(err)
			}
		}
	}
	const header, entry = 64, 64
	tableAt := uint64(header)
	namesAt := tableAt + uint64(len(table))
	sectionsAt := namesAt + uint64(len(names))
	headersAt := sectionsAt + uint64(len(sections))
	put([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9), uint16(elf.ET_DYN), uint16(machine), uint32(1),
		uint64(0), uint64(0), headersAt, uint32(0), uint16(header), uint16(0), uint16(0), uint16(entry), uint16(4), uint16(3))
	out.Write(table)
	out.Write(names)
	out.Write(sections)
	section := func(name, kind uint32, at, size uint64, link uint32, each uint64) {
		put(name, kind, uint64(0), uint64(0), at, size, link, uint32(0), uint64(1), each)
	}
	section(0, 0, 0, 0, 0, 0)
	section(1, uint32(elf.SHT_DYNSYM), tableAt, uint64(len(table)), 2, 24)
	section(9, uint32(elf.SHT_STRTAB), namesAt, uint64(len(names)), 0, 0)
	section(17, uint32(elf.SHT_STRTAB), sectionsAt, uint64(len(sections)), 0, 0)
	return out.Bytes()
}

func ownMachine() elf.Machine { return machines[runtime.GOARCH] }

// tree is a libtorch reduced to the files that the command reads.
type tree map[string]string

func libtorch(release string) tree {
	return tree{
		"lib/libtorch_cpu.so": "library",
		"lib/libc10.so":       string(elfFile(ownMachine(), newABISymbol)),
		"version.py":          fmt.Sprintf("from typing import Optional\n__version__ = '%s+cpu'\ncuda = '12.1'\n", release),
		"include/torch/csrc/api/include/torch/all.h": "#if __cplusplus < 201703L\n#error C++17\n#endif\n",
		"include/ATen/core/TensorBody.h":             "at::Tensor align_as(const at::Tensor & other) const;\n",
	}
}

// with gives a copy of the tree in which one file is another, or gone if text is "".
func (t tree) with(name, text string) tree {
	copied := tree{}
	for k, v := range t {
		copied[k] = v
	}
	copied[name] = text
	if text == "" {
		delete(copied, name)
	}
	return copied
}

func (t tree) write(tb testing.TB, root string) string {
	tb.Helper()
	for name, text := range t {
		path := filepath.Join(root, name)
		require.NoError(tb, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(tb, os.WriteFile(path, []byte(text), 0o644))
	}
	return root
}

// zipped packs the tree under a prefix and gives the archive with its SHA-256.
func (t tree) zipped(tb testing.TB, prefix string) (archive []byte, sum string) {
	tb.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for name, text := range t {
		f, err := w.CreateHeader(&zip.FileHeader{Name: prefix + name, Method: zip.Store})
		require.NoError(tb, err)
		_, err = f.Write([]byte(text))
		require.NoError(tb, err)
	}
	require.NoError(tb, w.Close())
	return out.Bytes(), sumOf(out.String())
}

// script writes an executable shell script.
func script(tb testing.TB, dir, name, text string) string {
	tb.Helper()
	path := filepath.Join(dir, name)
	require.NoError(tb, os.MkdirAll(dir, 0o755))
	require.NoError(tb, os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755))
	return path
}

// environ makes a lookup out of pairs.
func environ(pairs ...string) func(string) string {
	values := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		values[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return values[name] }
}

// sumOf gives the SHA-256 of a text.
func sumOf(text string) string {
	hash := sha256.Sum256([]byte(text))
	return hex.EncodeToString(hash[:])
}
