using System.Text;
using System.Text.Json;
using VllmNative.Simulation;

namespace VllmNative.Cli.Rendering;

/// <summary>A simulation for programs: one JSON object, times in seconds, shares 0..1.</summary>
internal static class SimulationJson
{
    private static readonly (string Name, Func<ServingFigures, double> Value)[] Numbers =
    [
        ("requests", figures => figures.Requests),
        ("output_tokens", figures => figures.OutputTokens),
        ("seconds", figures => figures.Seconds),
        ("requests_per_second", figures => figures.RequestsPerSecond),
        ("output_tokens_per_second", figures => figures.OutputTokensPerSecond),
        ("peak_kv_use", figures => figures.PeakKvUse),
        ("mean_kv_use", figures => figures.MeanKvUse),
        ("preemptions", figures => figures.Preemptions),
        ("prefix_hit_tokens", figures => figures.PrefixHitTokens),
        ("prefix_hit_rate", figures => figures.PrefixHitRate),
        ("host_hit_tokens", figures => figures.HostHitTokens),
        ("steps", figures => figures.Steps),
    ];

    private static readonly (string Name, Func<ServingFigures, Percentiles> Value)[] Latencies =
    [
        ("ttft", figures => figures.TimeToFirstToken),
        ("itl", figures => figures.InterTokenLatency),
        ("tpot", figures => figures.TimePerOutputToken),
        ("end_to_end", figures => figures.EndToEnd),
    ];

    internal static void Write(TextWriter output, SimulationReport report)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteString("model", report.Model);
            json.WriteString("device", report.Device);
            json.WriteNumber("left_out", report.LeftOut);
            json.WriteNumber("dropped_steps", report.DroppedSteps);
            json.WriteNumber("dropped_requests", report.DroppedRequests);
            json.WriteNumber("dropped_orders", report.DroppedOrders);
            json.WriteBoolean("had_disk_tier", report.HadDiskTier);
            json.WriteNumber("steps", report.Steps);
            if (report.StepsPlannedAlike is { } alike)
            {
                json.WriteNumber("steps_planned_alike", alike);
            }

            Write(json, "recorded", report.Recorded);
            Write(json, "simulated", report.Replayed);
            if (report.Changed is { } changed)
            {
                Write(json, "changed", changed);
            }

            json.WriteEndObject();
        }

        output.WriteLine(Encoding.UTF8.GetString(stream.ToArray()));
    }

    private static void Write(Utf8JsonWriter json, string name, ServingFigures figures)
    {
        json.WriteStartObject(name);
        foreach ((string key, Func<ServingFigures, double> value) in Numbers)
        {
            json.WriteNumber(key, value(figures));
        }

        foreach ((string key, Func<ServingFigures, Percentiles> value) in Latencies)
        {
            Write(json, key, value(figures));
        }

        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, string name, Percentiles seconds)
    {
        json.WriteStartObject(name);
        json.WriteNumber("p50", seconds.P50);
        json.WriteNumber("p90", seconds.P90);
        json.WriteNumber("p99", seconds.P99);
        json.WriteEndObject();
    }
}
