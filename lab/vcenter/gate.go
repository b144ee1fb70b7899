package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

const sessionCookie = "vmware_soap_session"
const folderPrefix = "/folder/"

// gate stands before the simulator: it knows who is logged in, counts, delays and refuses.
type gate struct {
	model    *simulator.Model
	config   Config
	machines map[string]*machine

	mutex    sync.Mutex
	sessions map[string]bool
	calls    map[string]int
	delays   map[string]time.Duration
	folder   folderFaults
	nfc      nfc
}

type folderFaults struct {
	status, times  int
	delay          time.Duration
	requests, most int
	now            int
	cutAfter       int64
}

func newGate(model *simulator.Model, config Config) *gate {
	g := &gate{model: model, config: config}
	g.sessions = map[string]bool{}
	g.calls = map[string]int{}
	g.delays = map[string]time.Duration{}
	g.nfc.leases = map[string]*lease{}
	g.nfc.release = make(chan struct{})
	// The simulator lets anybody read properties; the real one does not.
	model.Map().Handler = func(ctx *simulator.Context, method *simulator.Method) (mo.Reference, types.BaseMethodFault) {
		return nil, g.admit(ctx, method)
	}
	return g
}

func (g *gate) admit(ctx *simulator.Context, method *simulator.Method) types.BaseMethodFault {
	g.mutex.Lock()
	g.calls[method.Name]++
	delay := g.delays[method.Name]
	isLeased := g.isLeased(method.This)
	g.mutex.Unlock()
	time.Sleep(delay)
	if ctx.Session != nil && isLeased && method.Name == "PowerOnVM_Task" {
		return &types.TaskInProgress{}
	}
	if ctx.Session != nil {
		if method.Name == "Logout" {
			g.mutex.Lock()
			delete(g.sessions, ctx.Session.Key)
			g.mutex.Unlock()
		}
		return nil
	}
	if method.Name == "Login" || method.Name == "RetrieveServiceContent" {
		return nil
	}
	return &types.NotAuthenticated{NoPermission: types.NoPermission{Object: &method.This, PrivilegeId: "System.View"}}
}

// ServeHTTP hides cookies of sessions that were ended, and learns of new ones.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(sessionCookie); err == nil && !g.isSession(strings.Trim(cookie.Value, `"`)) {
		r.Header.Del("Cookie")
	}
	if r.URL.Path != "/sdk" {
		g.model.Service.ServeMux.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if bytes.Contains(body, []byte("<QueryChangedDiskAreas ")) {
		g.serveChangedAreas(w, r, body)
		return
	}
	if g.serveLease(w, r, body) {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	g.model.Service.ServeMux.ServeHTTP(&loginWatch{ResponseWriter: w, gate: g}, r)
}

type loginWatch struct {
	http.ResponseWriter
	gate *gate
}

func (w *loginWatch) WriteHeader(status int) {
	for _, line := range w.Header().Values("Set-Cookie") {
		value, found := strings.CutPrefix(line, sessionCookie+"=")
		if !found {
			continue
		}
		value, _, _ = strings.Cut(value, ";")
		w.gate.mutex.Lock()
		w.gate.sessions[strings.Trim(value, `"`)] = true
		w.gate.mutex.Unlock()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (g *gate) isSession(key string) bool {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.sessions[key]
}

func (g *gate) isAdmitted(r *http.Request) bool {
	if _, err := r.Cookie(sessionCookie); err == nil {
		return true
	}
	user, password, has := r.BasicAuth()
	return has && user == g.config.User && password == g.config.Password
}

// serveFolder gives out the files of a datastore, but not the disks of a machine that runs.
func (g *gate) serveFolder(w http.ResponseWriter, r *http.Request) {
	defer g.countFolder()()
	if !g.isAdmitted(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="VMware HTTP server"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if g.config.NoFolder {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if status := g.folderFault(); status != 0 {
		w.WriteHeader(status)
		return
	}
	query := r.URL.Query()
	dc := query.Get("dcPath")
	store := g.datastore(query.Get("dsName"))
	if store == nil || (dc != "DC0" && dc != "ha-datacenter") {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	name := strings.TrimPrefix(path.Clean("/"+strings.TrimPrefix(r.URL.Path, folderPrefix)), "/")
	if g.isLocked(name) {
		http.Error(w, "The file is locked", http.StatusInternalServerError)
		return
	}
	file, err := os.Open(path.Join(store.Summary.Url, name))
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.IsDir() {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(g.cutting(w), r, "", info.ModTime(), file)
}

func (g *gate) countFolder() func() {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.folder.requests++
	g.folder.now++
	g.folder.most = max(g.folder.most, g.folder.now)
	return func() {
		g.mutex.Lock()
		g.folder.now--
		g.mutex.Unlock()
	}
}

func (g *gate) folderFault() int {
	g.mutex.Lock()
	delay := g.folder.delay
	status := 0
	if g.folder.times > 0 {
		g.folder.times--
		status = g.folder.status
	}
	g.mutex.Unlock()
	time.Sleep(delay)
	return status
}

// cutting breaks the connection in the middle of one answer if that was asked for.
func (g *gate) cutting(w http.ResponseWriter) http.ResponseWriter {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.folder.cutAfter == 0 {
		return w
	}
	left := g.folder.cutAfter
	g.folder.cutAfter = 0
	return &cutWriter{ResponseWriter: w, left: left}
}

type cutWriter struct {
	http.ResponseWriter
	left int64
}

func (w *cutWriter) Write(data []byte) (int, error) {
	if int64(len(data)) > w.left {
		panic(http.ErrAbortHandler)
	}
	w.left -= int64(len(data))
	return w.ResponseWriter.Write(data)
}

func (g *gate) datastore(name string) *simulator.Datastore {
	for _, found := range g.model.Map().All("Datastore") {
		if store, is := found.(*simulator.Datastore); is && store.Name == name {
			return store
		}
	}
	return nil
}

func (g *gate) isLocked(name string) bool {
	for _, machine := range g.machines {
		if machine.owns(name) && strings.HasSuffix(name, "-flat.vmdk") {
			return machine.isRunning(g.model)
		}
	}
	return false
}

func (g *gate) find(name string) (*machine, error) {
	if found := g.machines[name]; found != nil {
		return found, nil
	}
	return nil, fmt.Errorf("there is no machine %q", name)
}
