package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// fromArchive is the source that downloads one archive over HTTP. The archive
// as a whole has no published checksum, so the libraries in it are pinned.
func fromArchive(address string, pins map[string]string, log io.Writer) source {
	return source{name: "the official download", fill: func(ctx context.Context, downloads, partial string) error {
		archive := filepath.Join(downloads, "libtorch-"+pinnedVersion+".zip")
		fmt.Fprintf(log, "libtorch: fetching the official archive of %s\n", pinnedVersion)
		if err := download(ctx, address, archive); err != nil {
			return err
		}
		err := unzip(ctx, archive, partial, func(entry string) string {
			if name := below(entry, "libtorch/lib/", "torch/lib"); pins[name] != "" {
				return name
			}
			return below(entry, "libtorch/include/", "torch/include")
		})
		for name, sum := range pins {
			if err == nil {
				err = checkFile(filepath.Join(partial, filepath.FromSlash(name)), sum)
			}
		}
		if err != nil && ctx.Err() == nil {
			err = errors.Join(err, os.Remove(archive)) // it will not become better
		}
		return err
	}}
}

// download gets an address into a file. What an earlier attempt got is kept in
// FILE.part and continued where the server can do so and still has the same file.
func download(ctx context.Context, address, target string) error {
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	part := target + ".part"
	for attempt := 1; ; attempt++ {
		err := downloadOnce(ctx, address, part)
		switch {
		case err == nil:
			return os.Rename(part, target)
		case ctx.Err() != nil:
			return ctx.Err()
		case attempt == 3 || !errors.Is(err, errBroken):
			return failed(err, networkHint, "cannot download libtorch")
		}
	}
}

const networkHint = "check the network (HTTPS_PROXY is respected), or set LIBTORCH to an unpacked libtorch"

// errBroken marks a transfer that began and did not end; going on may help.
var errBroken = errors.New("the transfer broke off")

func downloadOnce(ctx context.Context, address, part string) (err error) {
	file, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	have, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	if have > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	response, err := httpClient().Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusPartialContent && have > 0:
	case response.StatusCode == http.StatusOK: // from the beginning, asked or not
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := file.Truncate(0); err != nil {
			return err
		}
	case response.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		// The part is as long as the file or longer: begin anew.
		return errors.Join(errBroken, file.Truncate(0))
	default:
		return fmt.Errorf("the server says %s", response.Status)
	}
	if _, err := io.Copy(file, response.Body); err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	return nil
}

// httpClient gives up soon where there is no way out, but lets a transfer last.
func httpClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	transport.ResponseHeaderTimeout = 30 * time.Second
	return &http.Client{Transport: transport}
}
