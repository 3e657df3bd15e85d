using System.Globalization;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Mathematics;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace VllmNative.Benchmarks;

/// <summary>What a benchmark's <see cref="WorkAttribute"/> comes to in its median time.</summary>
internal sealed class RateColumn : IColumn
{
    public string Id => nameof(RateColumn);

    public string ColumnName => "Rate";

    public bool AlwaysShow => false;

    public ColumnCategory Category => ColumnCategory.Custom;

    public int PriorityInCategory => 0;

    public bool IsNumeric => true;

    public UnitType UnitType => UnitType.Dimensionless;

    public string Legend => "The benchmark's work in its median time";

    public bool IsAvailable(Summary summary) => summary.BenchmarksCases.Any(benchmark => WorkOf(benchmark) is not null);

    public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase)
    {
        Statistics? times = summary[benchmarkCase]?.ResultStatistics;
        return times is null || WorkOf(benchmarkCase) is not { } work
            ? "-"
            : string.Create(CultureInfo.InvariantCulture, $"{work.Amount / times.Median * 1e9:F1} {work.Unit}");
    }

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style) => GetValue(summary, benchmarkCase);

    private static WorkAttribute? WorkOf(BenchmarkCase benchmark) =>
        (WorkAttribute?)Attribute.GetCustomAttribute(benchmark.Descriptor.WorkloadMethod, typeof(WorkAttribute));
}
