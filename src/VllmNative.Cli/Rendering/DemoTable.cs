using Spectre.Console;

namespace VllmNative.Cli.Rendering;

/// <summary>The demo's figures as a small table.</summary>
internal static class DemoTable
{
    internal static void Write(DemoFigures figures, bool interactive)
    {
        (string Name, string Value)[] columns = Columns(figures);
        if (!interactive)
        {
            int[] widths = [.. columns.Select(column => Math.Max(column.Name.Length, column.Value.Length))];
            Console.Out.WriteLine(string.Join("  ", columns.Select((column, i) => column.Name.PadLeft(widths[i]))));
            Console.Out.WriteLine(string.Join("  ", columns.Select((column, i) => column.Value.PadLeft(widths[i]))));
            return;
        }

        Table table = new Table().RoundedBorder().BorderColor(Color.Grey);
        foreach ((string name, _) in columns)
        {
            table.AddColumn(new TableColumn(new Text(name)).RightAligned().NoWrap());
        }

        table.AddRow(columns.Select(column => new Text(column.Value)));
        Terminals.Out.Write(table);
    }

    private static (string Name, string Value)[] Columns(DemoFigures figures) =>
    [
        ("prompts", $"{figures.Prompts}"),
        ("tokens", $"{figures.Tokens}"),
        ("tok/s", $"{(figures.Wall > TimeSpan.Zero ? figures.Tokens / figures.Wall.TotalSeconds : 0):0.0}"),
        ("TTFT mean", Units.Milliseconds(figures.MeanTtft)),
        ("TTFT p50", Units.Milliseconds(figures.MedianTtft)),
        ("TPOT mean", Units.Milliseconds(figures.MeanTpot)),
        ("KV blocks peak", $"{figures.Memory.PeakBlocks} of {figures.Memory.TotalBlocks}"),
    ];
}
