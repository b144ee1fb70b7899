package main

import (
	"fmt"
	"io"
	"math/rand"
	"os"
	"path"

	"github.com/vmware/govmomi/vim25/types"
)

type area struct{ start, length int64 }

type disk struct {
	sizeBytes      int64
	flat, describe string
	own            bool
	// Its place in the words of a lease: `ParaVirtualSCSIController0:1`.
	controller string
	areas      []area
}

func baseOf(key int32) string { return fmt.Sprintf("disk-%d", key) }

func makeDisk(root, vm string, config DiskConfig) (*disk, error) {
	base := path.Join(root, vm, baseOf(config.Key))
	made := &disk{sizeBytes: config.SizeBytes, flat: base + "-flat.vmdk", describe: base + ".vmdk"}
	made.own = config.Descriptor != ""
	kind := map[string]string{"scsi": "ParaVirtualSCSI", "ide": "VirtualIDE", "sata": "VirtualAHCI", "nvme": "VirtualNVME"}
	made.controller = fmt.Sprintf("%sController%d:%d", kind[config.Controller], config.Bus, config.Unit)
	if err := made.writeDescriptor(config.Descriptor); err != nil {
		return nil, err
	}
	target, err := os.Create(made.flat)
	if err != nil {
		return nil, err
	}
	defer target.Close()
	if config.File != "" {
		source, err := os.Open(config.File)
		if err != nil {
			return nil, err
		}
		defer source.Close()
		if _, err := io.Copy(target, source); err != nil {
			return nil, err
		}
	}
	return made, target.Truncate(config.SizeBytes)
}

// writeDescriptor writes it anew, with another content ID, as the first write after each opening does.
func (d *disk) writeDescriptor(own string) error {
	text := own
	if text == "" {
		text = fmt.Sprintf("# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=%08x\nparentCID=ffffffff\n"+
			"createType=\"vmfs\"\n\n# Extent description\nRW %d VMFS \"%s\"\n\n# The Disk Data Base\n#DDB\n\n"+
			"ddb.adapterType = \"lsilogic\"\nddb.virtualHWVersion = \"19\"\n",
			rand.Uint32(), d.sizeBytes/512, path.Base(d.flat))
	}
	return os.WriteFile(d.describe, []byte(text), 0o600)
}

func (d *disk) device(store types.ManagedObjectReference, vm string, config DiskConfig, controller int32) types.BaseVirtualDevice {
	name := fmt.Sprintf("[LocalDS_0] %s/%s.vmdk", vm, baseOf(config.Key))
	device := &types.VirtualDisk{CapacityInBytes: config.SizeBytes, CapacityInKB: config.SizeBytes / 1024}
	device.Key = config.Key
	device.ControllerKey = controller
	device.UnitNumber = &config.Unit
	device.DeviceInfo = &types.Description{Label: fmt.Sprintf("Hard disk %d", config.Key)}
	mode := config.Mode
	if mode == "" {
		mode = "persistent"
	}
	if config.Raw {
		backing := &types.VirtualDiskRawDiskMappingVer1BackingInfo{DiskMode: mode, CompatibilityMode: "physicalMode"}
		backing.FileName = name
		device.Backing = backing
		return device
	}
	thin := true
	backing := &types.VirtualDiskFlatVer2BackingInfo{DiskMode: mode, ThinProvisioned: &thin}
	backing.FileName = name
	backing.Datastore = &store
	backing.Uuid = fmt.Sprintf("6000C29%05d", config.Key)
	backing.ChangeId = fmt.Sprintf("52 de c0/%d", len(d.areas))
	if config.Shared {
		backing.Sharing = "sharingMultiWriter"
	}
	if config.Encrypted {
		backing.KeyId = &types.CryptoKeyId{KeyId: "key-1"}
	}
	device.Backing = backing
	return device
}

func (m *machine) write(key int32, offset int64, data []byte) error {
	disk := m.disks[key]
	if disk == nil {
		return fmt.Errorf("%s has no disk %d", m.name, key)
	}
	file, err := os.OpenFile(disk.flat, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	disk.areas = append(disk.areas, area{offset, int64(len(data))})
	_, err = file.WriteAt(data, offset)
	return err
}

func (m *machine) renewContentIds() error {
	for _, disk := range m.disks {
		if disk.own {
			continue
		}
		if err := disk.writeDescriptor(""); err != nil {
			return err
		}
	}
	return nil
}
