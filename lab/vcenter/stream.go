package main

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

const (
	sectorBytes    = 512
	grainBytes     = 64 << 10
	grainsPerTable = 512
	overheadBytes  = 128 * sectorBytes
	directoryAtEnd = ^uint64(0)
)

// The kinds of what stands between grains.
const (
	endMarker = iota
	tableMarker
	directoryMarker
	footerMarker
)

// streamWriter makes a stream-optimized VMDK in one go, as an ESXi does for its NFC service. Spoil names the lie in it.
type streamWriter struct {
	to        io.Writer
	sizeBytes int64
	spoil     string
	written   int64
	tables    []uint32
	table     [grainsPerTable]uint32
	grains    int
}

func (s *streamWriter) put(data []byte) error {
	padding := (sectorBytes - len(data)%sectorBytes) % sectorBytes
	whole := append(append(make([]byte, 0, len(data)+padding), data...), make([]byte, padding)...)
	s.written += int64(len(whole))
	_, err := s.to.Write(whole)
	return err
}

func (s *streamWriter) header(directory uint64) []byte {
	head := make([]byte, sectorBytes)
	little := binary.LittleEndian
	copy(head, "KDMV")
	little.PutUint32(head[4:], 3)
	little.PutUint32(head[8:], 0x30001)
	capacity := uint64(s.sizeBytes / sectorBytes)
	if s.spoil == "capacity" {
		capacity += 128
	}
	little.PutUint64(head[12:], capacity)
	little.PutUint64(head[20:], grainBytes/sectorBytes)
	little.PutUint64(head[28:], 1)
	little.PutUint64(head[36:], 20)
	little.PutUint32(head[44:], grainsPerTable)
	little.PutUint64(head[56:], directory)
	little.PutUint64(head[64:], overheadBytes/sectorBytes)
	copy(head[73:], "\n \r\n")
	little.PutUint16(head[77:], 1)
	return head
}

func (s *streamWriter) marker(sectors int, kind uint32) error {
	block := make([]byte, sectorBytes)
	binary.LittleEndian.PutUint64(block, uint64(sectors))
	binary.LittleEndian.PutUint32(block[12:], kind)
	return s.put(block)
}

func (s *streamWriter) grain(number int64, data []byte) error {
	var packed bytes.Buffer
	deflate, _ := zlib.NewWriterLevel(&packed, zlib.BestSpeed)
	if _, err := deflate.Write(data); err != nil {
		return err
	}
	if err := deflate.Close(); err != nil {
		return err
	}
	head := make([]byte, 12)
	binary.LittleEndian.PutUint64(head, uint64(number*grainBytes/sectorBytes))
	length := packed.Len()
	if s.spoil == "huge" && s.grains > 0 {
		length = 1 << 30
	}
	binary.LittleEndian.PutUint32(head[8:], uint32(length))
	s.table[number%grainsPerTable] = uint32(s.written / sectorBytes)
	s.grains++
	return s.put(append(head, packed.Bytes()...))
}

func (s *streamWriter) endTable() error {
	if s.table == [grainsPerTable]uint32{} {
		s.tables = append(s.tables, 0)
		return nil
	}
	if err := s.marker(4, tableMarker); err != nil {
		return err
	}
	s.tables = append(s.tables, uint32(s.written/sectorBytes))
	data, _ := binary.Append(nil, binary.LittleEndian, s.table)
	s.table = [grainsPerTable]uint32{}
	return s.put(data)
}

// write streams the disk; grains of zeroes are left out.
func (s *streamWriter) write(flat *os.File) error {
	if err := s.begin(); err != nil {
		return err
	}
	zeroes := make([]byte, grainBytes)
	data := make([]byte, grainBytes)
	count := (s.sizeBytes + grainBytes - 1) / grainBytes
	for number := int64(0); number < count; number++ {
		clear(data)
		if _, err := flat.ReadAt(data, number*grainBytes); err != nil && err != io.EOF {
			return err
		}
		if !bytes.Equal(data, zeroes) {
			if done, err := s.lie(number, data); done || err != nil {
				return err
			}
			if err := s.grain(number, data); err != nil {
				return err
			}
		}
		if number%grainsPerTable == grainsPerTable-1 || number == count-1 {
			if err := s.endTable(); err != nil {
				return err
			}
		}
	}
	return s.end()
}

func (s *streamWriter) begin() error {
	if err := s.put(s.header(directoryAtEnd)); err != nil {
		return err
	}
	text := fmt.Sprintf("# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"+
		"createType=\"streamOptimized\"\n\n# Extent description\nRW %d SPARSE \"disk.vmdk\"\n\n"+
		"# The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\n", s.sizeBytes/sectorBytes)
	rest := make([]byte, overheadBytes-sectorBytes)
	copy(rest, text)
	return s.put(rest)
}

// lie comes before the second grain; whether it was the end of the stream.
func (s *streamWriter) lie(number int64, data []byte) (bool, error) {
	if s.grains != 1 {
		return false, nil
	}
	switch s.spoil {
	case "truncated":
		return true, nil
	case "beyond":
		return false, s.grain((s.sizeBytes+grainBytes-1)/grainBytes, data)
	case "backwards":
		return false, s.grain(number-1, data)
	case "bomb":
		return false, s.grain(number, make([]byte, 64<<20))
	case "garbage":
		return false, s.put(bytes.Repeat([]byte{0xa5}, sectorBytes))
	}
	return false, nil
}

func (s *streamWriter) end() error {
	directory, _ := binary.Append(nil, binary.LittleEndian, s.tables)
	if err := s.marker((len(directory)+sectorBytes-1)/sectorBytes, directoryMarker); err != nil {
		return err
	}
	place := uint64(s.written / sectorBytes)
	if err := s.put(directory); err != nil {
		return err
	}
	if err := s.marker(1, footerMarker); err != nil {
		return err
	}
	if err := s.put(s.header(place)); err != nil {
		return err
	}
	return s.marker(0, endMarker)
}
