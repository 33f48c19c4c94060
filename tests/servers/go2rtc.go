// go2rtc with those of its modules that tests talk to: its API, RTSP and RTMP.
//
// Its own main has many more, for kinds of cameras, with many more dependencies. Its packages are internal, which is why
// the path of this module lies below its own.
package main

import (
	"github.com/AlexxIT/go2rtc/internal/api"
	"github.com/AlexxIT/go2rtc/internal/api/ws"
	"github.com/AlexxIT/go2rtc/internal/app"
	"github.com/AlexxIT/go2rtc/internal/rtmp"
	"github.com/AlexxIT/go2rtc/internal/rtsp"
	"github.com/AlexxIT/go2rtc/internal/streams"
	"github.com/AlexxIT/go2rtc/pkg/shell"
)

func main() {
	app.Init()
	api.Init()
	ws.Init()
	streams.Init()
	rtsp.Init()
	rtmp.Init()
	shell.RunUntilSignal()
}
