package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"time"
)

// command is a line of standard input; which fields count is up to Op.
type command struct {
	Op     string `json:"op"`
	Vm     string `json:"vm"`
	Key    int32  `json:"key"`
	Method string `json:"method"`
	Ms     int    `json:"ms"`
	Status int    `json:"status"`
	Times  int    `json:"times"`
	Offset int64  `json:"offset"`
	Bytes  string `json:"bytes"`
	On     bool   `json:"on"`
	// Of NFC: in place of the right thumbprint, the lie in streams, the fault of leases.
	Thumbprint string `json:"thumbprint"`
	Spoil      string `json:"spoil"`
	Fault      string `json:"fault"`
}

func (g *gate) command(line []byte) map[string]any {
	var c command
	if err := json.Unmarshal(line, &c); err != nil {
		return map[string]any{"error": err.Error()}
	}
	if c.Op == "stats" {
		return g.stats()
	}
	if err := g.obey(c); err != nil {
		return map[string]any{"error": err.Error()}
	}
	return map[string]any{"ok": true}
}

func (g *gate) obey(c command) error {
	switch c.Op {
	case "power":
		return g.onMachine(c, func(m *machine) error { return m.setPower(g.model, c.On) })
	case "remove":
		return g.onMachine(c, func(m *machine) error { return m.destroy(context.Background(), g.model) })
	case "write":
		data, err := base64.StdEncoding.DecodeString(c.Bytes)
		if err != nil {
			return err
		}
		return g.onMachine(c, func(m *machine) error { return m.write(c.Key, c.Offset, data) })
	}
	g.mutex.Lock()
	defer g.mutex.Unlock()
	switch c.Op {
	case "expire":
		// As after an idle half hour: every session is over.
		clear(g.sessions)
	case "delay":
		g.delays[c.Method] = time.Duration(c.Ms) * time.Millisecond
	case "folder-delay":
		g.folder.delay = time.Duration(c.Ms) * time.Millisecond
	case "folder-fault":
		g.folder.status, g.folder.times = c.Status, c.Times
	case "folder-cut":
		g.folder.cutAfter = c.Offset
	case "nfc":
		g.nfc.own, g.nfc.thumbprint, g.nfc.spoil = c.On, c.Thumbprint, c.Spoil
		g.nfc.initializing, g.nfc.leaseError = time.Duration(c.Ms)*time.Millisecond, c.Fault
	case "nfc-shared":
		g.nfc.shared = c.On
	case "nfc-cut":
		g.nfc.cutAfter = c.Offset
	case "nfc-hold":
		g.nfc.holdAt = c.Offset
		close(g.nfc.release)
		g.nfc.release = make(chan struct{})
	case "nfc-expire":
		for _, one := range g.nfc.leases {
			g.nfc.timedOut++
			g.endLease(one)
		}
	default:
		return fmt.Errorf("there is no command %q", c.Op)
	}
	return nil
}

func (g *gate) onMachine(c command, act func(*machine) error) error {
	found, err := g.find(c.Vm)
	if err != nil {
		return err
	}
	return act(found)
}

func (g *gate) stats() map[string]any {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	snapshots := len(g.model.Map().All("VirtualMachineSnapshot"))
	return map[string]any{
		"sessions":       len(g.sessions),
		"calls":          maps.Clone(g.calls),
		"folderRequests": g.folder.requests,
		"folderMost":     g.folder.most,
		"snapshots":      snapshots,
		"leases":         len(g.nfc.leases),
		"leasesMade":     g.nfc.made,
		"completed":      g.nfc.completed,
		"aborted":        g.nfc.aborted,
		"timedOut":       g.nfc.timedOut,
		"streams":        g.nfc.requests,
	}
}
