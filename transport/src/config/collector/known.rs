//! Types of components that the Collector's core and contrib distributions have and Spanwire has not.
//!
//! They stand here without underscores, as [`is_known`] compares them: the Collector has been adding underscores to its
//! types, and takes both.

/// Whether a type is one of these, however it is divided.
pub(super) fn is_known(kinds: &[&str], kind: &str) -> bool {
    let kind = kind.replace('_', "");
    kinds.contains(&&*kind)
}

pub(super) const RECEIVERS: &[&str] = &[
    "activedirectoryds", "aerospike", "apache", "apachespark", "awscloudwatch", "awscontainerinsightreceiver",
    "awsecscontainermetrics", "awsfirehose", "awslambda", "awss3", "awsxray", "azureblob", "azureeventhub", "azuremonitor",
    "bigip", "carbon", "chrony", "ciscoos", "cloudflare", "cloudfoundry", "collectd", "couchdb", "datadog", "dockerstats",
    "elasticsearch", "envoyals", "expvar", "faro", "file", "filelog", "filestats", "flinkmetrics", "fluentforward",
    "github", "gitlab", "gitproviderreceiver", "googlecloudmonitoring", "googlecloudpubsub", "googlecloudpubsubpush",
    "googlecloudspanner", "haproxy", "hostmetrics", "httpcheck", "huaweicloudcesreceiver", "icmpcheckreceiver", "iis",
    "influxdb", "jaeger", "jmx", "journald", "k8scluster", "k8sevents", "k8slog", "k8sobjects", "kafka", "kafkametrics",
    "kubeletstats", "libhoney", "loki", "macosunifiedlogging", "memcached", "mongodb", "mongodbatlas", "mysql", "namedpipe",
    "netflow", "nginx", "nop", "nsxt", "ntp", "opencensus", "oracledb", "osquery", "otelarrow", "otlpjsonfile", "podmanstats",
    "postgresql", "pprof", "prometheus", "prometheusremotewrite", "prometheussimple", "pulsar", "purefa", "purefb",
    "rabbitmq", "receivercreator", "redfish", "redis", "riak", "saphana", "sapm", "signalfx", "simpleprometheus",
    "skywalking", "snmp", "snowflake", "solace", "splunkenterprise", "splunkhec", "sqlquery", "sqlserver", "sshcheck",
    "statsd", "stef", "syslog", "systemd", "tcpcheck", "tcplog", "tlscheck", "udplog", "vcenter", "wavefront",
    "webhookevent", "windowseventlog", "windowsperfcounters", "windowsservice", "yanggrpc", "zipkin", "zookeeper",
];

pub(super) const PROCESSORS: &[&str] = &[
    "coralogix", "cumulativetodelta", "datadogsemantics", "deltatocumulative", "deltatorate", "dnslookup",
    "experimentalmetricsgeneration", "geoip", "groupbyattrs", "groupbytrace", "interval", "isolationforest",
    "k8sattributes", "logdedup", "logstransform", "lookup", "metricsgeneration", "metricstarttime", "metricstransform",
    "queuebatch", "redaction", "remotetap", "resourcedetection", "routing", "schema", "servicegraph", "span", "spanmetrics",
    "spanpruning", "sumologic", "tailsampling", "transform", "unroll",
];

pub(super) const EXPORTERS: &[&str] = &[
    "alertmanager", "alibabacloudlogservice", "awscloudwatchlogs", "awsemf", "awskinesis", "awss3", "awsxray", "azureblob",
    "azuredataexplorer", "azuremonitor", "bmchelix", "carbon", "cassandra", "clickhouse", "coralogix", "datadog", "dataset",
    "doris", "elasticsearch", "f5cloud", "faro", "googlecloud", "googlecloudpubsub", "googlecloudstorage",
    "googlemanagedprometheus", "honeycombmarker", "influxdb", "instana", "jaeger", "jaegerthrift", "kafka", "loadbalancing",
    "logging", "logicmonitor", "logzio", "loki", "mezmo", "nop", "opencensus", "opensearch", "otelarrow", "prometheus",
    "prometheusremotewrite", "pulsar", "rabbitmq", "sapm", "sentry", "signalfx", "skywalking", "splunkhec", "stef",
    "sumologic", "syslog", "tencentcloudlogservice", "tinybird", "zipkin",
];

pub(super) const EXTENSIONS: &[&str] = &[
    "ack", "asapclient", "avrologencoding", "awscloudwatchmetricstreamsencoding", "awslogsencoding", "awsproxy",
    "azureauth", "azureencoding", "basicauth", "bearertokenauth", "cfgardenobserver", "cgroupruntime", "datadog",
    "dbstorage", "dockerobserver", "ecsobserver", "ecstaskobserver", "filestorage", "googleclientauth",
    "googlecloudlogentryencoding", "headerssetter", "healthcheckv2", "hostobserver", "httpforwarder", "jaegerencoding",
    "jaegerremotesampling", "jsonlogencoding", "k8sleaderelector", "k8sobserver", "kafkatopicsobserver", "memoryballast",
    "memorylimiter", "nop", "oauth2client", "oidc", "opamp", "otlpencoding", "pprof", "redisstorage", "remotetap",
    "sigv4auth", "skywalkingencoding", "solarwindsapmsettings", "sumologic", "textencoding", "zipkinencoding", "zpages",
];
