package main

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

const nfcPrefix = "/nfc/"

// The simulator exports snapshots alone, and its leases live for ever. These belong to a session, as a vCenter's do, stand
// in the way of another export of their machine, and end if nobody tells of progress.
type lease struct {
	id, session string
	machine     *machine
	readyAt     time.Time
	timer       *time.Timer
	over        chan struct{}
}

// nfc is what the tests set and count; all under the gate's mutex.
type nfc struct {
	leases                        map[string]*lease
	made                          int
	completed, aborted, timedOut  int
	requests                      int
	initializing                  time.Duration
	leaseError, spoil, thumbprint string
	own, shared                   bool
	direct                        *endpoint
	cutAfter, holdAt              int64
	release                       chan struct{}
}

type leaseCall struct {
	Export   string `xml:"Body>ExportVm>_this"`
	Progress string `xml:"Body>HttpNfcLeaseProgress>_this"`
	Complete string `xml:"Body>HttpNfcLeaseComplete>_this"`
	Abort    string `xml:"Body>HttpNfcLeaseAbort>_this"`
	Look     string `xml:"Body>RetrievePropertiesEx>specSet>objectSet>obj"`
}

var leaseMethod = regexp.MustCompile(`<(ExportVm|HttpNfcLease\w+|RetrievePropertiesEx) `)

// serveLease answers what is about leases; false if it is not.
func (g *gate) serveLease(w http.ResponseWriter, r *http.Request, body []byte) bool {
	found := leaseMethod.FindSubmatch(body)
	if found == nil {
		return false
	}
	method := string(found[1])
	if method == "RetrievePropertiesEx" && !strings.Contains(string(body), `type="HttpNfcLease"`) {
		return false
	}
	var call leaseCall
	if err := xml.Unmarshal(body, &call); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return true
	}
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if method != "RetrievePropertiesEx" {
		g.calls[method]++
	}
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		soapFault(w, "NotAuthenticated")
		return true
	}
	session := strings.Trim(cookie.Value, `"`)
	if method == "ExportVm" {
		g.export(w, session, call.Export)
		return true
	}
	one := g.nfc.leases[call.Progress+call.Complete+call.Abort+call.Look]
	if one == nil || (one.session != session && !g.nfc.shared) {
		soapFault(w, "ManagedObjectNotFound")
		return true
	}
	switch method {
	case "HttpNfcLeaseProgress":
		one.timer.Reset(g.config.leaseTime())
	case "HttpNfcLeaseComplete":
		g.nfc.completed++
		g.endLease(one)
	case "HttpNfcLeaseAbort":
		g.nfc.aborted++
		g.endLease(one)
	default:
		soapBody(w, http.StatusOK, g.leaseXML(one))
		return true
	}
	soapBody(w, http.StatusOK, fmt.Sprintf(`<%sResponse xmlns="urn:vim25"/>`, method))
	return true
}

func (g *gate) export(w http.ResponseWriter, session, ref string) {
	var found *machine
	for _, one := range g.machines {
		if one.ref.Value == ref {
			found = one
		}
	}
	if found == nil || found.vm(g.model) == nil {
		soapFault(w, "ManagedObjectNotFound")
		return
	}
	if found.isRunning(g.model) {
		soapFault(w, "InvalidPowerState")
		return
	}
	if g.isLeased(found.ref) {
		soapFault(w, "TaskInProgress")
		return
	}
	g.nfc.made++
	made := &lease{id: fmt.Sprintf("session[%s]lease-%d", session, g.nfc.made), session: session, machine: found}
	made.readyAt = time.Now().Add(g.nfc.initializing)
	made.over = make(chan struct{})
	made.timer = time.AfterFunc(g.config.leaseTime(), func() {
		g.mutex.Lock()
		defer g.mutex.Unlock()
		if g.nfc.leases[made.id] == made {
			g.nfc.timedOut++
			g.endLease(made)
		}
	})
	g.nfc.leases[made.id] = made
	soapBody(w, http.StatusOK, fmt.Sprintf(`<ExportVmResponse xmlns="urn:vim25">`+
		`<returnval type="HttpNfcLease">%s</returnval></ExportVmResponse>`, made.id))
}

func (g *gate) isLeased(ref types.ManagedObjectReference) bool {
	for _, one := range g.nfc.leases {
		if one.machine.ref == ref {
			return true
		}
	}
	return false
}

func (g *gate) endLease(one *lease) {
	one.timer.Stop()
	delete(g.nfc.leases, one.id)
	close(one.over)
}

func (g *gate) leaseXML(one *lease) string {
	property := func(name, kind, content string) string {
		return fmt.Sprintf(`<propSet><name>%s</name><val xsi:type="%s">%s</val></propSet>`, name, kind, content)
	}
	properties := property("state", "HttpNfcLeaseState", "initializing")
	switch {
	case g.nfc.leaseError != "":
		fault := fmt.Sprintf(`<fault xsi:type="%s"/><localizedMessage>it cannot be exported</localizedMessage>`, g.nfc.leaseError)
		properties = property("state", "HttpNfcLeaseState", "error") + property("error", "LocalizedMethodFault", fault)
	case !time.Now().Before(one.readyAt):
		properties = property("state", "HttpNfcLeaseState", "ready") + property("info", "HttpNfcLeaseInfo", g.infoXML(one))
	}
	return fmt.Sprintf(`<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval><objects>`+
		`<obj type="HttpNfcLease">%s</obj>%s</objects></returnval></RetrievePropertiesExResponse>`, one.id, properties)
}

// infoXML names every file of the machine: its disks, and the NVRAM that newer servers give as well.
func (g *gate) infoXML(one *lease) string {
	host, thumbprint := "*", g.nfc.thumbprint
	if g.nfc.own {
		host = fmt.Sprintf("127.0.0.1:%d", g.nfc.direct.port)
		if thumbprint == "" {
			thumbprint = thumbprintOf(g.nfc.direct.certificate)
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, `<lease type="HttpNfcLease">%s</lease><entity type="VirtualMachine">%s</entity>`, one.id, one.machine.ref.Value)
	url := func(key, target string, isDisk bool) {
		fmt.Fprintf(&text, `<deviceUrl><key>/%s/%s</key><importKey>/%s/%s</importKey><url>https://%s%s%s/%s</url>`,
			one.machine.ref.Value, key, one.machine.name, key, host, nfcPrefix, g.ticketOf(one), target)
		fmt.Fprintf(&text, `<sslThumbprint>%s</sslThumbprint><disk>%t</disk><targetId>%s</targetId></deviceUrl>`,
			thumbprint, isDisk, target)
	}
	url("nvram", "nvram", false)
	keys := make([]int32, 0, len(one.machine.disks))
	for key := range one.machine.disks {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		url(one.machine.disks[key].controller, fmt.Sprintf("%s.vmdk", baseOf(key)), true)
	}
	fmt.Fprintf(&text, `<totalDiskCapacityInKB>0</totalDiskCapacityInKB><leaseTimeout>%d</leaseTimeout>`,
		int(g.config.leaseTime().Seconds()))
	return text.String()
}

// ticketOf is in the addresses in place of the lease's name, as with the real one.
func (g *gate) ticketOf(one *lease) string {
	return "ticket-" + one.id[strings.LastIndex(one.id, "-")+1:]
}

// serveNFC streams a disk of a lease that lives; whoever knows its address may read it.
func (g *gate) serveNFC(w http.ResponseWriter, r *http.Request) {
	ticket, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, nfcPrefix), "/")
	g.mutex.Lock()
	var one *lease
	for _, candidate := range g.nfc.leases {
		if g.ticketOf(candidate) == ticket {
			one = candidate
		}
	}
	var wanted *disk
	if one != nil {
		for key, candidate := range one.machine.disks {
			if name == baseOf(key)+".vmdk" {
				wanted = candidate
			}
		}
	}
	g.nfc.requests++
	out := &leaseWriter{to: w, lease: one, cutAfter: g.nfc.cutAfter, holdAt: g.nfc.holdAt, release: g.nfc.release, gone: r.Context().Done()}
	g.nfc.cutAfter = 0
	spoil := g.nfc.spoil
	g.mutex.Unlock()
	if wanted == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	flat, err := os.Open(wanted.flat)
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	defer flat.Close()
	w.Header().Set("Content-Type", "application/x-vnd.vmware-streamVmdk")
	stream := &streamWriter{to: out, sizeBytes: wanted.sizeBytes, spoil: spoil}
	if err := stream.write(flat); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// leaseWriter breaks off when its lease ends, at a place that was asked for, or waits there.
type leaseWriter struct {
	to               http.ResponseWriter
	lease            *lease
	written          int64
	cutAfter, holdAt int64
	release          chan struct{}
	gone             <-chan struct{}
}

func (w *leaseWriter) Write(data []byte) (int, error) {
	if w.holdAt > 0 && w.written >= w.holdAt {
		http.NewResponseController(w.to).Flush()
		select {
		case <-w.release:
		case <-w.lease.over:
		case <-w.gone:
		}
	}
	select {
	case <-w.lease.over:
		return 0, http.ErrAbortHandler
	default:
	}
	w.written += int64(len(data))
	if w.cutAfter > 0 && w.written > w.cutAfter {
		return 0, http.ErrAbortHandler
	}
	return w.to.Write(data)
}
