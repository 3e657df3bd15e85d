using System.Globalization;
using System.Xml.Linq;
using VllmNative.Bench.Results;
using VllmNative.Bench.Serving;
using Xunit;

namespace VllmNative.Tests.Bench.Results;

/// <summary>The picture of a sweep, and its table.</summary>
public sealed class LinePlotTests
{
    private static readonly BatchSweep Sweep = new("a<b", "mix", [new BatchPoint(1, 4, 100, 100), new BatchPoint(8, 24, 900, 300)]);

    [Fact]
    public void HigherValues_StandHigher_AndTheScaleReachesTheHighest()
    {
        XElement svg = XElement.Parse(Sweep.Plot().ToSvg());
        double[][] heights = [.. svg.Elements().Where(part => part.Name.LocalName == "polyline").Select(Heights)];
        Assert.Equal(2, heights.Length);
        Assert.Equal(heights[0][0], heights[1][0]);
        Assert.True(heights[0][1] < heights[1][1] && heights[1][1] < heights[1][0]);
        string[] texts = [.. svg.Elements().Where(part => part.Name.LocalName == "text").Select(text => text.Value)];
        Assert.Equal(
            ["Output tokens a second, a<b, mix", "0", "200", "400", "600", "800", "1000", "1", "8", "requests at a time", "continuous batching", "static batching"],
            texts);
        // 900 of 1000 up a scale of 290 pixels whose foot is at 340.
        Assert.Equal(340 - 261, heights[0][1], 1);
    }

    [Fact]
    public void NothingMeasured_IsAnEmptyPlot() => Assert.DoesNotContain(XElement.Parse((Sweep with { Points = [] }).Plot().ToSvg()).Elements(), part => part.Name.LocalName == "circle");

    [Fact]
    public void Table_HasAPointALine()
    {
        string[] lines = Sweep.Table().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(3, lines.Length);
        Assert.Equal(["8", "24", "900.0", "300.0", "3.00"], lines[2].Split(' ', StringSplitOptions.RemoveEmptyEntries));
    }

    private static double[] Heights(XElement line) =>
        [.. line.Attribute("points")!.Value.Split(' ').Select(point => double.Parse(point.Split(',')[1], CultureInfo.InvariantCulture))];
}
