// Loaded before the vendor's client, whose base URL is hard-coded: sends its
// HTTPS requests to the stand-in, over HTTP.
"use strict";

const http = require("http");
const https = require("https");

const standIn = new URL(process.env.WEBSCRAPERTEST_URL);

https.request = (options, callback) =>
	http.request({...options, hostname: standIn.hostname, port: standIn.port}, callback);
