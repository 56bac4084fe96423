package storetest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/s3blob"    // s3://

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
)

// bucketName is the only bucket.
const bucketName = "archive"

// The credentials of the servers. The one for Google Cloud Storage lets everybody in.
const (
	account = "scrapehaul"
	secret  = "store-secret-zx83"
)

// azureSecret is an account key for Azure.
var azureSecret = base64.StdEncoding.EncodeToString([]byte(secret))

// stores are the supported stores.
var stores = []struct {
	name  string
	start func(*testing.T) store
}{
	{"S3", startS3},
	{"S3 without checksum trailers", startS3WithoutTrailers},
	{"Google Cloud Storage", startGoogleCloudStorage},
	{"Azure Blob Storage", startAzureBlobStorage},
}

// store is a running server with the bucket.
type store struct {
	// url is the ARCHIVE_URL of a bucket.
	url func(bucket string) string
	// direct is the test's own URL of the bucket, if it differs.
	direct func(bucket string) string
	// environment is what the worker needs in addition.
	environment map[string]string
	// keyVariable is the variable with the secret; empty for none.
	keyVariable string
}

// open opens the bucket for the test.
func (s store) open(t *testing.T) *blob.Bucket {
	t.Helper()
	for name, value := range s.environment {
		t.Setenv(name, value)
	}
	address := s.url
	if s.direct != nil {
		address = s.direct
	}
	bucket, err := blob.OpenBucket(t.Context(), address(bucketName))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, bucket.Close()) })
	return bucket
}

// startS3 starts VersityGW, which checks signatures and checksums. Each folder is a bucket.
func startS3(t *testing.T) store {
	dir := t.TempDir()
	buckets, metadata := filepath.Join(dir, "buckets"), filepath.Join(dir, "metadata")
	require.NoError(t, os.MkdirAll(filepath.Join(buckets, bucketName), 0o700))
	require.NoError(t, os.Mkdir(metadata, 0o700))
	address := startServer(t, func(_ string, address string) childprocess.Command {
		return childprocess.Command{
			Path: serverFile(t, "versitygw"), Args: []string{"--port", address, "posix", "--sidecar", metadata, buckets},
			Env: []string{"ROOT_ACCESS_KEY_ID=" + account, "ROOT_SECRET_ACCESS_KEY=" + secret},
		}
	})
	return store{
		url: func(bucket string) string {
			return "s3://" + bucket + "?region=us-east-1&use_path_style=true&endpoint=http://" + address
		},
		environment: map[string]string{"AWS_ACCESS_KEY_ID": account, "AWS_SECRET_ACCESS_KEY": secret},
		keyVariable: "AWS_SECRET_ACCESS_KEY",
	}
}

// startS3WithoutTrailers starts a store behind a proxy that rejects the checksum trailers
// that drivers send since 2025, like some stores other than Amazon's, with the messages of
// two of them.
func startS3WithoutTrailers(t *testing.T) store {
	s3 := startS3(t)
	behind, err := url.Parse(s3.url(bucketName))
	require.NoError(t, err)
	target, err := url.Parse(behind.Query().Get("endpoint"))
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // the signature includes it
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := func(status int, code, message string) {
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
		}
		for name := range r.Header {
			if name == "X-Amz-Trailer" || strings.HasPrefix(name, "X-Amz-Checksum-") || name == "X-Amz-Sdk-Checksum-Algorithm" {
				refuse(http.StatusBadRequest, "InvalidArgument", "Unsupported header '"+strings.ToLower(name)+"' received for this API call.")
				return
			}
		}
		if strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
			refuse(http.StatusNotImplemented, "NotImplemented", "A header you provided implies functionality that is not implemented.")
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	s3.direct = s3.url
	s3.url = func(bucket string) string {
		return "s3://" + bucket + "?region=us-east-1&use_path_style=true&endpoint=" + front.URL
	}
	return s3
}

// startGoogleCloudStorage starts fake-gcs-server. Each folder is a bucket.
func startGoogleCloudStorage(t *testing.T) store {
	buckets := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(buckets, bucketName), 0o700))
	address := startServer(t, func(port, address string) childprocess.Command {
		return childprocess.Command{
			Path: serverFile(t, "fake-gcs-server"),
			Args: []string{
				"-scheme", "http", "-host", "127.0.0.1", "-port", port, "-public-host", address, "-filesystem-root", buckets,
			},
		}
	})
	return store{
		url:         func(bucket string) string { return "gs://" + bucket },
		environment: map[string]string{"STORAGE_EMULATOR_HOST": address},
	}
}

// startAzureBlobStorage starts Azurite, Azure's own emulator.
func startAzureBlobStorage(t *testing.T) store {
	node := requireAzurite(t)
	address := startServer(t, func(port, _ string) childprocess.Command {
		return childprocess.Command{
			Path: node,
			Args: []string{
				azuriteProgram, "--blobPort", port, "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck",
			},
			Env: []string{"AZURITE_ACCOUNTS=" + account + ":" + azureSecret},
		}
	})
	azure := store{
		url:         func(bucket string) string { return "azblob://" + bucket + "?protocol=http&domain=" + address },
		environment: map[string]string{"AZURE_STORAGE_ACCOUNT": account, "AZURE_STORAGE_KEY": azureSecret},
		keyVariable: "AZURE_STORAGE_KEY",
	}
	createContainer(t, address)
	return azure
}

// createContainer creates the bucket in Azurite, with a request signed as in Azure's
// "Authorize with Shared Key".
func createContainer(t *testing.T, address string) {
	t.Helper()
	path := "/" + account + "/" + bucketName
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+address+path+"?restype=container", nil)
	require.NoError(t, err)
	date, version := time.Now().UTC().Format(http.TimeFormat), "2021-12-02"
	mac := hmac.New(sha256.New, []byte(secret))
	// No standard headers; the path starts with the account.
	fmt.Fprintf(mac, "PUT%sx-ms-date:%s\nx-ms-version:%s\n/%s%s\nrestype:container", strings.Repeat("\n", 12), date, version, account, path)
	request.Header.Set("X-Ms-Date", date)
	request.Header.Set("X-Ms-Version", version)
	request.Header.Set("Authorization", "SharedKey "+account+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusCreated, answer.StatusCode)
}

// patience allows for machines much slower than ours.
const patience = time.Minute

// startServer starts a server on a port of 127.0.0.1, until the end of the test, and returns
// its address, host:port, when it listens.
func startServer(t *testing.T, command func(port, address string) childprocess.Command) (address string) {
	t.Helper()
	port, err := childprocess.FreePort()
	require.NoError(t, err)
	address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	start := command(strconv.Itoa(port), address)
	log := new(programtest.Log)
	start.Log = log
	if start.Env == nil {
		start.Env = []string{} // none of ours
	}
	server, err := childprocess.Start(start)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, server.Stop())
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(start.Path), log)
		}
	})
	require.Eventually(t, func() bool {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		return connection.Close() == nil
	}, patience, 20*time.Millisecond, "%s does not listen", start.Path)
	return address
}
