package webhook

import (
	"bytes"
	"errors"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// asParts encodes the form as multipart.
func asParts(t *testing.T, form url.Values) (body []byte, contentType string) {
	var parts bytes.Buffer
	writer := multipart.NewWriter(&parts)
	for _, name := range []string{"scrapingjob_id", "status", "sitemap_id", "sitemap_name", "custom_id"} {
		if form.Has(name) {
			require.NoError(t, writer.WriteField(name, form.Get(name)))
		}
	}
	require.NoError(t, writer.Close())
	return parts.Bytes(), writer.FormDataContentType()
}

// Any body is either refused with 400 and a reason, or decoded into a notification with the
// form's fields.
func FuzzDecode(f *testing.F) {
	for _, body := range []string{
		"scrapingjob_id=1234&status=finished&sitemap_id=12&sitemap_name=my-sitemap&custom_id=custom-scraping-job-12",
		"scrapingjob_id=1&status=stopped&sitemap_id=2&sitemap_name=%D0%BA%D0%BB%D1%8E%D1%87",
		"", "&&&", "=", "%", "scrapingjob_id=-1", "scrapingjob_id=9223372036854775808", "status=a&status=b", "a;b=c", "\x00\xff",
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		notification, err := decode([]byte(body), urlencodedForm)
		if err != nil {
			var refused *refusal
			require.True(t, errors.As(err, &refused))
			require.Equal(t, http.StatusBadRequest, refused.status)
			require.NotEmpty(t, refused.refusedBody.Error)
			return
		}
		form, err := url.ParseQuery(body)
		require.NoError(t, err)
		parts, contentType := asParts(t, form)
		same, err := decode(parts, contentType)
		require.NoError(t, err)
		require.Equal(t, notification, same)
		require.Positive(t, notification.ScrapingJobID)
		id, err := strconv.ParseInt(form.Get("scrapingjob_id"), 10, 64)
		require.NoError(t, err)
		require.Equal(t, id, notification.ScrapingJobID)
		require.Equal(t, form.Get("status"), notification.Status)
		require.Equal(t, form.Get("sitemap_name"), notification.SitemapName)
		require.Equal(t, form.Get("custom_id"), notification.CustomID)
	})
}
