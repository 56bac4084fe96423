// Loaded before the vendor's client, whose base URL is hard-coded: sends its HTTPS
// requests to the fake, over HTTP.
"use strict";

const http = require("http");
const https = require("https");

const fake = new URL(process.env.WEBSCRAPERTEST_URL);

https.request = (options, callback) =>
	http.request({...options, hostname: fake.hostname, port: fake.port}, callback);
