package main

import "time"

// Config is the first line of standard input.
type Config struct {
	User     string `json:"user"`
	Password string `json:"password"`
	// Machines without disks' bytes, to fill an inventory.
	Machines int `json:"machines"`
	// After so many seconds without a word a lease ends; 300 if absent.
	LeaseSeconds int `json:"leaseSeconds"`
	// The user may not read files of datastores: /folder refuses.
	NoFolder bool `json:"noFolder"`
	// Machines in detail, with real bytes.
	Vms []VmConfig `json:"vms"`
}

func (c Config) leaseTime() time.Duration {
	if c.LeaseSeconds == 0 {
		return 300 * time.Second
	}
	return time.Duration(c.LeaseSeconds) * time.Second
}

// VmConfig describes one machine.
type VmConfig struct {
	Name       string        `json:"name"`
	GuestID    string        `json:"guestId"`
	CPUs       int32         `json:"cpus"`
	Cores      int32         `json:"coresPerSocket"`
	MemoryMB   int64         `json:"memoryMb"`
	Firmware   string        `json:"firmware"`
	SecureBoot bool          `json:"secureBoot"`
	Tpm        bool          `json:"tpm"`
	Running    bool          `json:"running"`
	NoTools    bool          `json:"noTools"`
	Iso        string        `json:"iso"`
	Passthru   string        `json:"passthrough"`
	Disks      []DiskConfig  `json:"disks"`
	Nics       []NicConfig   `json:"nics"`
	Guest      []GuestConfig `json:"guest"`
}

// DiskConfig describes one disk; its bytes are those of File, or zeroes.
type DiskConfig struct {
	Key        int32  `json:"key"`
	SizeBytes  int64  `json:"sizeBytes"`
	File       string `json:"file"`
	Controller string `json:"controller"`
	Bus        int32  `json:"bus"`
	Unit       int32  `json:"unit"`
	Mode       string `json:"mode"`
	Shared     bool   `json:"shared"`
	Raw        bool   `json:"raw"`
	Encrypted  bool   `json:"encrypted"`
	Boot       bool   `json:"boot"`
	// In place of the one that is right.
	Descriptor string `json:"descriptor"`
}

// NicConfig describes one network card; Distributed puts it on the distributed port group.
type NicConfig struct {
	Mac         string `json:"mac"`
	Model       string `json:"model"`
	Distributed bool   `json:"distributed"`
}

// GuestConfig is what the guest's tools would tell of one card.
type GuestConfig struct {
	Mac       string   `json:"mac"`
	Addresses []string `json:"addresses"`
	Prefix    int32    `json:"prefix"`
	Origin    string   `json:"origin"`
	Gateway   string   `json:"gateway"`
	DNS       []string `json:"dns"`
	Search    []string `json:"search"`
}
